// The moving timeline: probabilities of the classes over the last seconds, and the list of the most likely ones.

const SECONDS = 20;
const MOST_CLASSES = 6;
const GOLDEN_ANGLE = 137.5;

export const color = (label) => `hsl(${(210 + label * GOLDEN_ANGLE) % 360} 65% var(--lightness))`;

export class Chart {
  #points = []; // { time, probabilities }
  #classes = [];

  constructor(svg, list, labels) {
    Object.assign(this, { svg, list, labels });
    svg.setAttribute("viewBox", `0 -0.03 ${SECONDS} 1.06`);
  }

  reset() {
    this.#points = [];
    this.draw();
  }

  // Add probabilities at a time in seconds.
  add(time, probabilities) {
    this.#points.push({ time, probabilities });
    while (this.#points[0].time < time - SECONDS) this.#points.shift();
    this.draw();
  }

  draw() {
    this.#rank();
    const now = this.#points.at(-1);
    const x = ({ time }) => (SECONDS - now.time + time).toFixed(3);
    this.svg.replaceChildren(...this.#classes.map((label) => {
      const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
      line.setAttribute("points", this.#points.map((point) => `${x(point)},${(1 - point.probabilities[label]).toFixed(3)}`).join(" "));
      line.style.stroke = color(label);
      return line;
    }));
    this.list.replaceChildren(...this.#classes.map((label) => row(this.labels[label], color(label), now.probabilities[label])));
  }

  // The classes that were most likely in the visible seconds, in a steady order.
  #rank() {
    const peaks = this.labels.map((_, label) => Math.max(0, ...this.#points.map(({ probabilities }) => probabilities[label])));
    const best = [...peaks.keys()].sort((a, b) => peaks[b] - peaks[a]).slice(0, MOST_CLASSES);
    this.#classes = this.#points.length ? best.sort((a, b) => a - b) : [];
  }
}

// A list entry: a name, a bar and a percentage.
export function row(name, barColor, probability) {
  const entry = document.createElement("li");
  const [text, bar, figure] = ["span", "span", "span"].map((tag) => entry.appendChild(document.createElement(tag)));
  text.textContent = name;
  bar.className = "bar";
  bar.style.setProperty("--share", probability);
  bar.style.setProperty("--color", barColor);
  figure.textContent = `${Math.round(100 * probability)} %`;
  return entry;
}
