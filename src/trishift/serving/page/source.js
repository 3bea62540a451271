// Where pictures come from: a camera or a file, both played by the video element.

const REASONS = {
  NotAllowedError: "The browser may not use the camera. Allow it in the address bar, and start again.",
  NotFoundError: "There is no camera. Connect one, or open a video.",
  NotReadableError: "The camera is used by another program. Close that, and start again.",
  OverconstrainedError: "The camera has no suitable picture size. Try another one, or open a video.",
};

export class Source {
  #video;
  #canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

  constructor(video) { this.#video = video; }

  async openCamera() {
    if (!navigator.mediaDevices) throw new Error("Cameras need a page over https, or on this machine. Open a video instead.");
    this.close();
    try {
      const wanted = { video: { width: { ideal: 640 }, height: { ideal: 480 } } };
      this.#video.srcObject = await navigator.mediaDevices.getUserMedia(wanted);
    } catch (error) {
      throw new Error(REASONS[error.name] ?? `The camera cannot be opened (${error.message}).`);
    }
    this.#video.controls = false;
    for (const track of this.#video.srcObject.getTracks()) {
      track.onended = () => this.#video.dispatchEvent(new Event("ended"));
    }
    await this.#video.play();
  }

  async openFile(file) {
    this.close();
    this.#video.src = URL.createObjectURL(file);
    this.#video.controls = true;
    try {
      await this.#video.play();
    } catch {
      throw new Error(`The browser cannot play ${file.name}. Convert it to MP4 (H.264) or WebM.`);
    }
  }

  close() {
    for (const track of this.#video.srcObject?.getTracks() ?? []) track.stop();
    if (this.#video.src) URL.revokeObjectURL(this.#video.src);
    this.#video.srcObject = null;
    this.#video.removeAttribute("src");
    this.#video.load();
  }

  // The present picture { pixels (RGBA), width, height }; null while there is none.
  picture() {
    const { videoWidth: width, videoHeight: height, readyState, paused } = this.#video;
    if (readyState < HTMLMediaElement.HAVE_CURRENT_DATA || paused || !width) return null;
    const { canvas } = this.#canvas;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    this.#canvas.drawImage(this.#video, 0, 0);
    return { pixels: this.#canvas.getImageData(0, 0, width, height).data, width, height };
  }
}
