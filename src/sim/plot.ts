/** Two plots of a comparison as SVG: misses over memory-time, or over capacity where that was swept. */

import { formatBytes } from '../model/quantity.js';
import type { SimResult } from './result.js';

const [WIDTH, HEIGHT] = [760, 420];
const EDGE = { left: 64, right: 210, top: 28, bottom: 48 };
const COLOURS = ['#3465a4', '#cc0000', '#4e9a06', '#f57900', '#75507b', '#888a85', '#c17d11', '#06989a'];
const TICKS = 5;

export function plotSvg(results: readonly SimResult[]): string {
  const swept = new Set(results.map((one) => one.capacityBytes)).size > 1;
  const xOf = (one: SimResult): number => (swept ? (one.capacityBytes ?? 0) / 2 ** 30 : one.memoryGiBs);
  const names = [...new Set(results.map((one) => one.policies))];
  const xMax = Math.max(...results.map(xOf), 1e-9) * 1.05;
  const yMax = Math.max(...results.map((one) => one.missRatio * 100), 1e-9) * 1.1;
  const x = (value: number): number => EDGE.left + (value / xMax) * (WIDTH - EDGE.left - EDGE.right);
  const y = (value: number): number =>
    HEIGHT - EDGE.bottom - (value / yMax) * (HEIGHT - EDGE.top - EDGE.bottom);
  const parts: string[] = [];
  for (let i = 0; i <= TICKS; i++) {
    const [vx, vy] = [(xMax * i) / TICKS, (yMax * i) / TICKS];
    parts.push(
      `<line x1="${EDGE.left}" x2="${WIDTH - EDGE.right}" y1="${r(y(vy))}" y2="${r(y(vy))}" stroke="#ddd"/>`,
      `<text x="${EDGE.left - 6}" y="${r(y(vy) + 4)}" text-anchor="end">${short(vy)}</text>`,
      `<text x="${r(x(vx))}" y="${HEIGHT - EDGE.bottom + 18}" text-anchor="middle">${short(vx)}</text>`,
    );
  }
  for (const [i, name] of names.entries()) {
    const colour = COLOURS[i % COLOURS.length]!;
    const of = results.filter((one) => one.policies === name);
    const points = of.map((one) => `${r(x(xOf(one)))},${r(y(one.missRatio * 100))}`);
    if (swept)
      parts.push(`<polyline points="${points.join(' ')}" fill="none" stroke="${colour}" stroke-width="2"/>`);
    for (const one of of) {
      const title = `${name}${one.capacityBytes === null ? '' : ` in ${formatBytes(one.capacityBytes)}`}`;
      parts.push(
        `<circle cx="${r(x(xOf(one)))}" cy="${r(y(one.missRatio * 100))}" r="5" fill="${colour}"><title>${escapeXml(title)}</title></circle>`,
      );
    }
    const ly = EDGE.top + 10 + i * 20;
    parts.push(
      `<circle cx="${WIDTH - EDGE.right + 20}" cy="${ly}" r="5" fill="${colour}"/>`,
      `<text x="${WIDTH - EDGE.right + 32}" y="${ly + 4}">${escapeXml(name)}</text>`,
    );
  }
  const xLabel = swept ? 'memory for sandboxes, GiB' : 'memory-time of sandboxes, GiB s';
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">\n` +
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>\n${parts.join('\n')}\n` +
    `<text x="${r((EDGE.left + WIDTH - EDGE.right) / 2)}" y="${HEIGHT - 10}" text-anchor="middle">${xLabel}</text>\n` +
    `<text x="${EDGE.left - 40}" y="16">calls that found no loaded sandbox, %</text>\n</svg>\n`
  );
}

export function plotHtml(results: readonly SimResult[]): string {
  return `<!doctype html>\n<meta charset="utf-8">\n<title>nemo simulate</title>\n${plotSvg(results)}`;
}

function r(value: number): string {
  return value.toFixed(1);
}

function short(value: number): string {
  return String(Number(value.toPrecision(2)));
}

function escapeXml(text: string): string {
  return text.replace(/[<>&"]/g, (c) => `&#${c.charCodeAt(0)};`);
}
