// Lines over time. The document of each chart stands in the page; its numbers are in a table too.
import uPlot from "/static/vendor/uplot.esm.js";

const DASHES = [[], [9, 4], [2, 3], [10, 3, 2, 3], [5, 5], [14, 4], [1, 4]];
const HEIGHT_PX = 260;
const NEAR_PX = 30;
const dark = matchMedia("(prefers-color-scheme: dark)");

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const lineColour = ({ colour: number }) => colour(`--line-${number}`);
const seconds = (day) => Date.parse(`${day}T00:00:00Z`) / 1000;
const formats = {
  percent: (value) => (value == null ? "–" : `${Math.round(value * 100)} %`),
  mentions: (value) => (value == null ? "–" : value.toLocaleString("en")),
};
const short = (parts) => new Intl.DateTimeFormat("en-GB", { ...parts, timeZone: "UTC" });
const ticks = {
  day: short({ day: "numeric", month: "short" }),
  week: short({ day: "numeric", month: "short" }),
  month: short({ month: "short", year: "numeric" }),
};
const days = (stretch) => (stretch[0] === stretch[1] ? stretch[0] : stretch.join(" to "));

function linkOf(line, stretch) {
  const link = new URL(line.link, location.origin);
  link.searchParams.set("from", stretch[0]);
  link.searchParams.set("to", stretch[1]);
  return link.pathname + link.search;
}

function swatch(of, place) {
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  drawing.setAttribute("viewBox", "0 0 28 12");
  drawing.setAttribute("aria-hidden", "true");
  const shape = { x1: 0, x2: 28, y1: 6, y2: 6, "stroke-dasharray": DASHES[place % 7].join(" ") };
  for (const [name, value] of Object.entries(shape)) line.setAttribute(name, value);
  line.style.stroke = lineColour(of);
  drawing.append(line);
  return drawing;
}

class Chart {
  constructor(figure) {
    this.figure = figure;
    this.plot = figure.querySelector(".plot");
    this.legend = figure.querySelector(".legend");
    this.chart = JSON.parse(figure.querySelector("script").textContent);
    this.hidden = new Set();
    this.focused = null;
    this.draw();
    new ResizeObserver(() => this.fit()).observe(this.plot);
    dark.addEventListener("change", () => this.draw());
  }

  draw() {
    this.drawn?.destroy();
    const { stretches, lines } = this.chart;
    const data = [stretches.map(([first]) => seconds(first)), ...lines.map((line) => line.values)];
    this.drawn = new uPlot(this.options(), data, this.plot);
    this.drawn.over.addEventListener("click", () => this.follow());
    this.drawLegend();
    this.figure.dataset.drawn = lines.length;
  }

  options() {
    const text = colour("--pico-muted-color");
    const axis = { stroke: text, grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false } };
    const format = formats[this.chart.unit];
    const tick = ticks[this.chart.step];
    return {
      width: this.plot.clientWidth,
      height: HEIGHT_PX,
      legend: { show: false },
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      cursor: { y: false, focus: { prox: NEAR_PX }, drag: { x: false, y: false } },
      focus: { alpha: 0.35 },
      scales: { x: { range: (_, first, last) => this.days(first, last) }, y: { range: (_, __, most) => [0, Math.max(most * 1.05, 0.01)] } },
      axes: [
        { ...axis, space: 80, values: (_, at) => at.map((each) => tick.format(each * 1000)) },
        { ...axis, size: 56, values: (_, values) => values.map(format), incrs: this.steps() },
      ],
      series: [{}, ...this.chart.lines.map((line, place) => this.series(line, place))],
      hooks: {
        // Also told when a line is hidden or shown, which has nothing to do with the pointer.
        setSeries: [(_, place, { focus }) => focus == null || this.focusOn(place)],
        setCursor: [(drawn) => this.tell(drawn.cursor.idx)],
      },
    };
  }

  days(first, last) {
    // A single point is given years by uPlot, and stands nowhere to be seen.
    const three = 3 * 86400;
    return this.chart.stretches.length === 1 ? [first - three, first + three] : [first, last];
  }

  steps() {
    const whole = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6];
    return this.chart.unit === "percent" ? [0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5] : whole;
  }

  series(line, place) {
    const stroke = lineColour(line);
    return {
      label: line.name,
      stroke,
      width: 2,
      dash: DASHES[place % 7],
      points: { show: this.chart.stretches.length <= 40, size: 6, fill: stroke, dash: [] },
      show: !this.hidden.has(place),
      spanGaps: false,
    };
  }

  drawLegend() {
    this.values = this.chart.lines.map(() => document.createElement("output"));
    const items = this.chart.lines.map((line, place) => {
      const button = document.createElement("button");
      const name = document.createElement("bdi");
      name.textContent = line.name;
      button.type = "button";
      button.setAttribute("aria-pressed", String(!this.hidden.has(place)));
      this.values[place].setAttribute("aria-live", "off");
      button.append(swatch(line, place), name, this.values[place]);
      button.addEventListener("click", () => this.toggle(place, button));
      const item = document.createElement("li");
      item.append(button);
      return item;
    });
    this.legend.replaceChildren(...items);
  }

  toggle(place, button) {
    const shows = this.hidden.delete(place);
    if (!shows) this.hidden.add(place);
    button.setAttribute("aria-pressed", String(shows));
    this.drawn.setSeries(place + 1, { show: shows });
  }

  focusOn(place) {
    this.focused = place || null;
    this.drawn?.over.classList.toggle("leads", Boolean(place));
  }

  tell(at) {
    const stretch = this.chart.stretches[at];
    this.plot.title = stretch ? days(stretch) : "";
    this.values?.forEach((value, place) => {
      value.textContent = stretch ? formats[this.chart.unit](this.chart.lines[place].values[at]) : "";
    });
  }

  follow() {
    const at = this.drawn.cursor.idx;
    if (at == null || this.focused == null) return;
    location.href = linkOf(this.chart.lines[this.focused - 1], this.chart.stretches[at]);
  }

  fit() {
    const width = this.plot.clientWidth;
    if (width && width !== this.drawn.width) this.drawn.setSize({ width, height: HEIGHT_PX });
  }
}

document.querySelectorAll("figure[data-chart]").forEach((figure) => new Chart(figure));
