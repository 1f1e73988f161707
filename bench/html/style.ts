/** The report's one style sheet: light and dark, narrow and wide, on paper. */

import { policyCss } from './policies.js';

export function css(): string {
  return `:root{color-scheme:light dark;--bg:#fff;--fg:#1b2027;--soft:#59636f;--rule:#d8dde3;--nf:#5b6472;--fn:#0067b8;--other:#c9a227;--rest:#eef1f4;--good:#00664a;--bad:#b02a00}
@media(prefers-color-scheme:dark){:root{--bg:#14181d;--fg:#e7ebf0;--soft:#a3adb9;--rule:#333c46;--nf:#9aa5b4;--fn:#3f9fdc;--other:#d9b84a;--rest:#232a32;--good:#4fd1a5;--bad:#ff9d7a}}
*{box-sizing:border-box}body{margin:0 auto;max-width:1120px;padding:1.2rem;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.7rem;margin:.2rem 0}h2{font-size:1.2rem;margin:2.2rem 0 .4rem;border-bottom:1px solid var(--rule);padding-bottom:.2rem}
p{max-width:46rem}.soft,figcaption{color:var(--soft);font-size:.88rem}code{font-size:.9em;overflow-wrap:anywhere}
figure{margin:.4rem 0 1rem}svg{display:block;width:100%;height:auto;font:12px system-ui,sans-serif;fill:var(--fg)}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,320px),1fr));gap:0 1.4rem}
.grid{stroke:var(--rule);stroke-width:1}.tick,.label{fill:var(--soft)}.label{fill:var(--fg)}.mark{stroke:var(--bad);stroke-dasharray:4 3}
.bound{stroke:var(--c);stroke-width:2}.dot{fill:var(--c)}.curve{fill:none;stroke:var(--c,var(--fg));stroke-width:2}.latency{stroke:var(--fg);stroke-width:1.2}
.share.nf,.area.nf{fill:var(--nf)}.share.fn,.area.fn{fill:var(--fn)}.share.other{fill:var(--other)}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:.2rem 0;font-size:.88rem}.legend i{display:inline-block;width:.8em;height:.8em;margin-right:.35em;border-radius:2px;background:var(--c)}
.legend .nf{--c:var(--nf)}.legend .fn{--c:var(--fn)}.legend .other{--c:var(--other)}.legend .rest{--c:var(--rest)}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.88rem;margin:.4rem 0 1rem}th,td{padding:.25rem .6rem;border-bottom:1px solid var(--rule);text-align:right;white-space:nowrap}
th:first-child,td:first-child,td.words{text-align:left;white-space:normal}td.words{min-width:12rem}thead th{border-bottom:2px solid var(--rule);vertical-align:bottom}
.met{color:var(--good);font-weight:600}.missed{color:var(--bad);font-weight:600}
${policyCss()}@media print{body{max-width:none}h2{break-after:avoid}figure,tr{break-inside:avoid}}`.replace(
    /\n/g,
    '',
  );
}
