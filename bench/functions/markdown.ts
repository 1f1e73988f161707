/** Renders a page of Markdown to HTML, with the library that most people use. */

import { marked } from 'marked';

const SECTION = `
## Spare cycles

A server for network functions is *sized for its peak*. Most of the day **its cores wait**:

1. for packets,
2. for the next burst,
3. for nothing at all.

| load | spare |
| ---: | ----: |
| 30 % | 70 % |
| 70 % | 30 % |

\`\`\`js
const spare = 1 - load; // see [the paper](https://example.org/spare)
\`\`\`

> Functions are short, and can wait a millisecond.
`;
const page = `# Harvest\n${SECTION.repeat(8)}`;

export default async (): Promise<{ bytes: number }> => ({ bytes: (await marked.parse(page)).length });
