// Whether the server can answer, as it says itself (/health): asked often while it cannot, seldom
// while it can, and not at all while nobody looks.
import {health} from './api.js';
import {byId} from './dom.js';

const kReadyMs = 10000;
const kDownMs = 1500;

const kWords = {
  ready: ['Ready', 'The server answers.'],
  'not-ready': ['Not ready', 'The server is starting, shutting down, or has lost its workers.'],
  unreachable: ['No connection', 'The server cannot be reached.'],
};

export class HealthWatch {
  // `onReady`: it can answer, and could not before.
  constructor(onReady) {
    this.onReady = onReady;
    this.state = null;
    this.timer = 0;
    this.asking = false;
    document.addEventListener('visibilitychange', () => this.check());
    window.addEventListener('online', () => this.check());
    this.check();
  }

  async check() {
    if (this.asking || document.hidden) return;
    clearTimeout(this.timer);
    this.asking = true;
    const state = await health();
    this.asking = false;
    const becameReady = state === 'ready' && this.state !== 'ready';
    this.state = state;
    this.show();
    if (becameReady) this.onReady();
    this.timer = setTimeout(() => this.check(), state === 'ready' ? kReadyMs : kDownMs);
  }

  show() {
    const badge = byId('health');
    const [word, detail] = kWords[this.state];
    if (badge.dataset.state === this.state) return;
    badge.dataset.state = this.state;
    badge.title = detail;
    byId('health-word').textContent = word;
  }
}
