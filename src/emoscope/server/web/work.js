// What the page is busy with: a line of text, a bar, and a button that cancels it.

export class Work {
  /** @param element gives an element of the page by its id */
  constructor(element) {
    this.element = element;
    this.controller = null;
    this.isLoading = false; // the model, of an engine that works meanwhile
    element("cancel").addEventListener("click", () => this.controller?.abort());
  }

  get busy() {
    return this.controller !== null;
  }

  /** Run what takes time; it is given a signal that tells when it is cancelled. */
  async run(function_) {
    this.controller = new AbortController();
    this.progress(null);
    try {
      return await function_(this.controller.signal);
    } finally {
      this.controller = null;
      this.end();
    }
  }

  say(text) {
    this.element("status").textContent = text;
    this.element("status").classList.toggle("busy", this.busy);
  }

  /** Bytes of the model that have arrived, of all or of an unknown number. */
  loading(loaded, total) {
    if (!this.element("status").textContent) this.say("Loading the model …");
    this.progress(total ? loaded / total : null);
    const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
    this.element("amount").textContent = `${megabytes(loaded)}${total ? ` of ${megabytes(total)}` : ""} MB`;
    this.isLoading = !(loaded >= total);
    this.end();
  }

  /** Between 0 and 1, or null where nobody knows. */
  progress(fraction) {
    const bar = this.element("bar");
    this.element("work").hidden = false;
    this.element("cancel").hidden = !this.busy;
    this.element("amount").textContent = fraction == null ? "" : `${Math.round(100 * fraction)} %`;
    if (fraction == null) bar.removeAttribute("value");
    else bar.value = fraction;
  }

  end() {
    if (this.busy || this.isLoading) return;
    const left = this.element("work").contains(document.activeElement);
    this.element("work").hidden = true;
    this.say("");
    if (left) this.element("main").focus();
  }
}
