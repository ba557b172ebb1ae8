// Line charts. The data of each chart is embedded in the page, which also shows it as a table.
import uPlot from "/static/vendor/uplot.esm.js";

const DASHES = [[], [9, 4], [2, 3], [10, 3, 2, 3], [5, 5], [14, 4], [1, 4]];
const HEIGHT_PX = 260;
const HOVER_PX = 30;
const dark = matchMedia("(prefers-color-scheme: dark)");

const cssColour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const lineColour = ({ colour: number }) => cssColour(`--line-${number}`);
const seconds = (day) => Date.parse(`${day}T00:00:00Z`) / 1000;
const formats = {
  percent: (value) => (value == null ? "–" : `${Math.round(value * 100)}%`),
  mentions: (value) => (value == null ? "–" : value.toLocaleString("en")),
};
const dateFormat = (parts) => new Intl.DateTimeFormat("en-GB", { ...parts, timeZone: "UTC" });
const ticks = {
  day: dateFormat({ day: "numeric", month: "short" }),
  week: dateFormat({ day: "numeric", month: "short" }),
  month: dateFormat({ month: "short", year: "numeric" }),
};
const dayRange = (bucket) => (bucket[0] === bucket[1] ? bucket[0] : bucket.join(" to "));

function bucketLink(line, bucket) {
  const link = new URL(line.link, location.origin);
  link.searchParams.set("from", bucket[0]);
  link.searchParams.set("to", bucket[1]);
  return link.pathname + link.search;
}

function swatch(series, index) {
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  drawing.setAttribute("viewBox", "0 0 28 12");
  drawing.setAttribute("aria-hidden", "true");
  const shape = { x1: 0, x2: 28, y1: 6, y2: 6, "stroke-dasharray": DASHES[index % 7].join(" ") };
  for (const [name, value] of Object.entries(shape)) line.setAttribute(name, value);
  line.style.stroke = lineColour(series);
  drawing.append(line);
  return drawing;
}

class Chart {
  constructor(figure) {
    this.figure = figure;
    this.container = figure.querySelector(".plot");
    this.legend = figure.querySelector(".legend");
    this.data = JSON.parse(figure.querySelector("script").textContent);
    this.hidden = new Set();
    this.focused = null;
    this.draw();
    new ResizeObserver(() => this.fit()).observe(this.container);
    dark.addEventListener("change", () => this.draw());
  }

  draw() {
    this.plot?.destroy();
    const { buckets, lines } = this.data;
    const data = [buckets.map(([first]) => seconds(first)), ...lines.map((line) => line.values)];
    this.plot = new uPlot(this.options(), data, this.container);
    this.plot.over.addEventListener("click", () => this.openMoments());
    this.drawLegend();
    this.figure.dataset.drawn = lines.length;
  }

  options() {
    const text = cssColour("--pico-muted-color");
    const axis = { stroke: text, grid: { stroke: cssColour("--grid"), width: 1 }, ticks: { show: false } };
    const format = formats[this.data.unit];
    const tick = ticks[this.data.step];
    return {
      width: this.container.clientWidth,
      height: HEIGHT_PX,
      legend: { show: false },
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      cursor: { y: false, focus: { prox: HOVER_PX }, drag: { x: false, y: false } },
      focus: { alpha: 0.35 },
      scales: { x: { range: (_, first, last) => this.range(first, last) }, y: { range: (_, __, most) => [0, Math.max(most * 1.05, 0.01)] } },
      axes: [
        { ...axis, space: 80, values: (_, at) => at.map((each) => tick.format(each * 1000)) },
        { ...axis, size: 56, values: (_, values) => values.map(format), incrs: this.increments() },
      ],
      series: [{}, ...this.data.lines.map((line, index) => this.series(line, index))],
      hooks: {
        // Also called when a line is hidden or shown, without `focus`.
        setSeries: [(_, index, { focus }) => focus == null || this.focusOn(index)],
        setCursor: [(plot) => this.showValues(plot.cursor.idx)],
      },
    };
  }

  range(first, last) {
    // uPlot shows years around a single point.
    const three = 3 * 86400;
    return this.data.buckets.length === 1 ? [first - three, first + three] : [first, last];
  }

  increments() {
    const whole = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6];
    return this.data.unit === "percent" ? [0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5] : whole;
  }

  series(line, index) {
    const stroke = lineColour(line);
    return {
      label: line.name,
      stroke,
      width: 2,
      dash: DASHES[index % 7],
      points: { show: this.data.buckets.length <= 40, size: 6, fill: stroke, dash: [] },
      show: !this.hidden.has(index),
      spanGaps: false,
    };
  }

  drawLegend() {
    this.values = this.data.lines.map(() => document.createElement("output"));
    const items = this.data.lines.map((line, index) => {
      const button = document.createElement("button");
      const name = document.createElement("bdi");
      name.textContent = line.name;
      button.type = "button";
      button.setAttribute("aria-pressed", String(!this.hidden.has(index)));
      this.values[index].setAttribute("aria-live", "off");
      button.append(swatch(line, index), name, this.values[index]);
      button.addEventListener("click", () => this.toggle(index, button));
      const item = document.createElement("li");
      item.append(button);
      return item;
    });
    this.legend.replaceChildren(...items);
  }

  toggle(index, button) {
    const isShown = this.hidden.delete(index);
    if (!isShown) this.hidden.add(index);
    button.setAttribute("aria-pressed", String(isShown));
    this.plot.setSeries(index + 1, { show: isShown });
  }

  focusOn(series) {
    this.focused = series || null;
    this.plot?.over.classList.toggle("clickable", Boolean(series));
  }

  showValues(index) {
    const bucket = this.data.buckets[index];
    this.container.title = bucket ? dayRange(bucket) : "";
    this.values?.forEach((value, line) => {
      value.textContent = bucket ? formats[this.data.unit](this.data.lines[line].values[index]) : "";
    });
  }

  openMoments() {
    const index = this.plot.cursor.idx;
    if (index == null || this.focused == null) return;
    const line = this.data.lines[this.focused - 1];
    location.href = bucketLink(line, line.buckets[index] ?? this.data.buckets[index]);
  }

  fit() {
    const width = this.container.clientWidth;
    if (width && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT_PX });
  }
}

document.querySelectorAll("figure[data-chart]").forEach((figure) => new Chart(figure));
