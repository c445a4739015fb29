// The field in which the user writes, and the buttons to send and to stop.
import {byId} from './dom.js';

const kDraft = 'phalanx.draft';

function draft(action) {
  try {
    return action(sessionStorage);
  } catch {
    return null;  // storage is switched off
  }
}

export class Composer {
  // `onSend(text)` gives whether the text was taken; `onStop`; `onEditLast`.
  constructor({onSend, onStop, onEditLast}) {
    this.field = byId('message');
    this.sendButton = byId('send');
    this.stopButton = byId('stop');
    this.onSend = onSend;
    this.field.value = draft((storage) => storage.getItem(kDraft)) ?? '';
    this.field.addEventListener('input', () => this.onInput());
    this.field.addEventListener('change', () => this.onInput());
    this.field.addEventListener('keydown', (event) => {
      if (event.isComposing) return;
      if (event.key === 'Enter' && !event.shiftKey && !event.altKey && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        this.send();
      } else if (event.key === 'ArrowUp' && this.field.value === '') {
        event.preventDefault();
        onEditLast();
      }
    });
    byId('composer').addEventListener('submit', (event) => {
      event.preventDefault();
      this.send();
    });
    this.stopButton.addEventListener('click', onStop);
    this.onInput();
  }

  send() {
    const text = this.field.value;
    if (text.trim() === '' || !this.onSend(text)) return;
    this.set('');
    this.focus();
  }

  set(text) {
    this.field.value = text;
    this.onInput();
  }

  onInput() {
    this.field.style.height = 'auto';
    this.field.style.height = `${this.field.scrollHeight}px`;
    this.sendButton.disabled = this.field.value.trim() === '';
    draft((storage) => storage.setItem(kDraft, this.field.value));
  }

  showStreaming(streaming) {
    const moves = document.activeElement === (streaming ? this.sendButton : this.stopButton);
    this.sendButton.hidden = streaming;
    this.stopButton.hidden = !streaming;
    if (moves) this.field.focus();
  }

  focus() { this.field.focus(); }
}
