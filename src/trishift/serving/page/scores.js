// From logits of frames to the classes that are shown. (Python: `streaming/smoothing.py`, `evaluation/calibration.py`.)

export class Scores {
  #logits = [];

  constructor({ multi_label: multiLabel, temperature, thresholds, average }) {
    Object.assign(this, { multiLabel, temperature, thresholds, average });
  }

  // Probabilities under the mean logits of the last frames.
  update(logits) {
    this.#logits = [...this.#logits, logits].slice(-this.average);
    const mean = logits.map((_, place) => this.#logits.reduce((sum, row) => sum + row[place], 0) / this.#logits.length);
    const scaled = mean.map((value) => value / this.temperature);
    if (this.multiLabel) return scaled.map((value) => 1 / (1 + Math.exp(-value)));
    const peak = Math.max(...scaled);
    const powers = scaled.map((value) => Math.exp(value - peak));
    const total = powers.reduce((sum, power) => sum + power, 0);
    return powers.map((power) => power / total);
  }

  // Classes to show: the best one, or all of several labels; only those above their thresholds, if the model has any.
  shown(probabilities) {
    const best = probabilities.indexOf(Math.max(...probabilities));
    const candidates = this.multiLabel ? [...probabilities.keys()] : [best];
    return this.thresholds ? candidates.filter((label) => probabilities[label] >= this.thresholds[label]) : candidates;
  }
}
