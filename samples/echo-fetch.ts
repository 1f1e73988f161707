/** The fetch style: a web Request in, a web Response out. Sends the body back as it comes. */
export default {
  fetch(request: Request): Response {
    const headers = { 'content-type': request.headers.get('content-type') ?? 'application/octet-stream' };
    return new Response(request.body, { headers });
  },
};
