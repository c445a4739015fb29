// Code in colours that may still grow: what stands there already stays.
import {h} from './dom.js';
import {highlight} from './highlight.js';

export class CodeView {
  // Fills `element`, which nobody else changes.
  constructor(element) {
    this.element = element;
    this.parts = [];
  }

  update(code, language) {
    const parts = highlight(code, language);
    let same = 0;
    while (same < parts.length && same < this.parts.length && parts[same].name === this.parts[same].name &&
           parts[same].text === this.parts[same].text) {
      ++same;
    }
    while (this.element.childNodes.length > same) this.element.lastChild.remove();
    this.element.append(...parts.slice(same).map(
        ({name, text}) => name === null ? document.createTextNode(text) : h('span', {class: name}, text)));
    this.parts = parts;
  }
}
