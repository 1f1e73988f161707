/** Renders a small, safe part of Markdown: headings, lists, code, emphasis, links. Text in, HTML out. */
const escapeHtml = (text: string) =>
  text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c] as string);

const inline = (text: string) =>
  escapeHtml(text)
    .replace(/`([^`]+)`/g, '<code>$1</code>')
    .replace(/\*\*([^*]+)\*\*/g, '<strong>$1</strong>')
    .replace(/\*([^*]+)\*/g, '<em>$1</em>')
    .replace(/\[([^\]]+)\]\((https?:[^)\s]+)\)/g, '<a href="$2">$1</a>');

function render(markdown: string): string {
  const html: string[] = [];
  let open: 'ul' | 'pre' | undefined;
  const close = () => {
    if (open !== undefined) html.push(`</${open}>`);
    open = undefined;
  };
  for (const line of markdown.split('\n')) {
    if (line.startsWith('```')) {
      const wasCode = open === 'pre';
      close();
      if (!wasCode) {
        html.push('<pre>');
        open = 'pre';
      }
    } else if (open === 'pre') html.push(escapeHtml(line));
    else if (/^[-*] /.test(line)) {
      if (open !== 'ul') {
        close();
        html.push('<ul>');
        open = 'ul';
      }
      html.push(`<li>${inline(line.slice(2))}</li>`);
    } else {
      close();
      const heading = /^(#{1,6}) (.*)/.exec(line);
      if (heading) html.push(`<h${heading[1]?.length}>${inline(heading[2] ?? '')}</h${heading[1]?.length}>`);
      else if (line.trim() !== '') html.push(`<p>${inline(line)}</p>`);
    }
  }
  close();
  return html.join('\n');
}

export default (event: string | Uint8Array | null) =>
  new Response(render(typeof event === 'string' ? event : Buffer.from(event ?? []).toString('utf8')), {
    headers: { 'content-type': 'text/html; charset=utf-8' },
  });
