// Copies the libraries of the pages from node_modules to the app's static files.
import { cp, mkdir, rm, writeFile } from "node:fs/promises";

const TARGET = new URL("../callpipeline/web/static/vendor/", import.meta.url);
const FILES = {
  "@picocss/pico/css/pico.min.css": "pico.min.css",
  "@picocss/pico/LICENSE.md": "pico.LICENSE.md",
  "htmx.org/dist/htmx.min.js": "htmx.min.js",
  "htmx.org/dist/ext/hx-sse.min.js": "hx-sse.min.js",
  "htmx.org/LICENSE": "htmx.LICENSE",
  "uplot/dist/uPlot.esm.js": "uplot.esm.js",
  "uplot/dist/uPlot.min.css": "uplot.min.css",
  "uplot/LICENSE": "uplot.LICENSE",
  "wavesurfer.js/dist/wavesurfer.esm.js": "wavesurfer.esm.js",
  "wavesurfer.js/LICENSE": "wavesurfer.LICENSE",
};

await rm(TARGET, { recursive: true, force: true });
await mkdir(TARGET, { recursive: true });
for (const [from, to] of Object.entries(FILES)) {
  await cp(new URL(`node_modules/${from}`, import.meta.url), new URL(to, TARGET));
}
await writeFile(new URL("built", TARGET), "");
