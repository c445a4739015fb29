// The messages of the conversation that is shown, and where the page is scrolled to.
import {copyFrom} from './clipboard.js';
import {AnswerState, shownPath} from './conversation.js';
import {byId, oncePerFrame} from './dom.js';
import {AnswerView, QuestionView} from './message_view.js';

const kNearEnd = 60;  // pixels

export class ThreadView {
  // `actions`: edit(node, text), regenerate(node), continueAnswer(node), showVersion(node, index),
  // sendToolResult(node, call, text), openSettings(field).
  constructor(actions) {
    this.actions = actions;
    this.list = byId('thread');
    this.scroller = byId('scroller');
    this.jump = byId('jump');
    this.views = new Map();  // node id -> view, in the order of the page
    this.conversation = null;
    this.follows = true;
    this.frame = oncePerFrame(() => this.updateStreaming());
    this.jump.addEventListener('click', () => this.scrollToEnd());
    this.scroller.addEventListener('scroll', () => this.onScroll(), {passive: true});
    this.list.addEventListener('click', (event) => {
      const button = event.target.closest('[data-action="copy-code"]');
      if (button !== null) copyFrom(button, button.closest('figure').querySelector('code').textContent);
    });
  }

  // Shows the path as it is now; what is on the page already stays.
  show(conversation) {
    if (this.conversation !== conversation) this.clear();
    this.conversation = conversation;
    const path = conversation === null ? [] : shownPath(conversation);
    const ids = new Set(path.map(({id}) => id));
    for (const [id, view] of this.views) {
      if (ids.has(id)) continue;
      view.destroy();
      view.element.remove();
      this.views.delete(id);
    }
    for (const node of path) {
      const view = this.views.get(node.id) ?? this.makeView(node);
      view.refresh();
      // New ones always come last: where the path changes, everything behind it does.
      if (!view.element.isConnected) this.list.append(view.element);
    }
    document.body.classList.toggle('empty', path.length === 0);
    this.updateStreaming();
  }

  makeView(node) {
    const View = node.role === 'assistant' ? AnswerView : QuestionView;
    const view = new View(this.conversation, node, this.actions);
    this.views.set(node.id, view);
    return view;
  }

  // Soon, once for any number of calls.
  requestUpdate() { this.frame.request(); }

  updateStreaming() {
    let busy = false;
    for (const view of this.views.values()) {
      if (view.node.state !== AnswerState.kStreaming) continue;
      view.update();
      busy = true;
    }
    this.list.setAttribute('aria-busy', String(busy));
    if (this.follows) this.scrollToEnd();
    this.onScroll();
  }

  lastQuestion() {
    return Array.from(this.views.values()).filter((view) => view instanceof QuestionView).at(-1) ?? null;
  }

  lastAnswer() {
    return Array.from(this.views.values()).filter((view) => view instanceof AnswerView).at(-1) ?? null;
  }

  scrollToEnd() {
    this.follows = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  onScroll() {
    const {scrollTop, clientHeight, scrollHeight} = this.scroller;
    this.follows = scrollHeight - scrollTop - clientHeight < kNearEnd;
    this.jump.hidden = this.follows;
  }

  clear() {
    for (const view of this.views.values()) view.destroy();
    this.views.clear();
    this.list.replaceChildren();
    this.follows = true;
  }
}
