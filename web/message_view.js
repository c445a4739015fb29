// One message of the thread. `actions` is what its buttons do, see thread_view.js.
import {copyFrom} from './clipboard.js';
import {AnswerState, isEmptyAnswer, toolResultsOf, versionsOf} from './conversation.js';
import {h, icon, iconButton} from './dom.js';
import {MarkdownView} from './markdown.js';
import {problemBox} from './problem_box.js';
import {TokensView} from './probabilities.js';
import {ToolCallsView} from './tool_calls.js';

function versionSwitch(conversation, node, actions) {
  const {index, count} = versionsOf(conversation, node);
  if (count < 2) return null;
  const to = (step) => () => actions.showVersion(node, index + step);
  return h('span', {class: 'versions', role: 'group', 'aria-label': 'Versions'},
           iconButton('left', 'Previous version', to(-1), {disabled: index === 0}),
           h('span', {class: 'versions-text'}, `${index + 1}/${count}`),
           iconButton('right', 'Next version', to(1), {disabled: index === count - 1}));
}

// ------------------------------------------------------------------------------------- questions

export class QuestionView {
  constructor(conversation, node, actions) {
    this.conversation = conversation;
    this.node = node;
    this.actions = actions;
    this.element = h('article', {class: `message ${node.role}`, 'aria-label': 'You', 'data-id': node.id});
    this.update();
  }

  refresh() { this.update(); }

  update() {
    if (this.editing) return;
    const {node, actions} = this;
    this.element.replaceChildren(
        h('div', {class: 'bubble', dir: 'auto'}, node.content),
        h('div', {class: 'actions'},
          versionSwitch(this.conversation, node, actions),
          iconButton('copy', 'Copy message', (event) => copyFrom(event.currentTarget, node.content)),
          iconButton('edit', 'Edit message', () => this.edit())));
  }

  edit() {
    this.editing = true;
    const area = h('textarea', {class: 'edit-text', 'aria-label': 'Edit message', rows: '1', dir: 'auto'});
    area.value = this.node.content;
    const close = () => {
      this.editing = false;
      this.update();
      this.element.querySelector('[aria-label="Edit message"]').focus();
    };
    const send = () => {
      if (area.value.trim() === '') return;
      this.editing = false;
      this.update();
      this.actions.edit(this.node, area.value);
    };
    area.addEventListener('keydown', (event) => {
      if (event.isComposing) return;
      if (event.key === 'Escape') {
        event.stopPropagation();
        close();
      } else if (event.key === 'Enter' && !event.shiftKey) {
        event.preventDefault();
        send();
      }
    });
    this.element.replaceChildren(
        h('form', {class: 'edit', onsubmit: (event) => { event.preventDefault(); send(); }}, area,
          h('div', {class: 'edit-buttons'},
            h('button', {type: 'button', class: 'button', onclick: close}, 'Cancel'),
            h('button', {type: 'submit', class: 'button primary'}, 'Send'))));
    area.focus();
  }

  destroy() {}
}

// --------------------------------------------------------------------------------------- answers

function duration(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s`;
}

const kEndings = {length: 'cut at the limit', content_filter: 'filtered'};

function statsText({stats, finish, state}) {
  const parts = [];
  if (stats !== null) {
    parts.push(`${stats.completionTokens ?? 0} ${stats.completionTokens === 1 ? 'token' : 'tokens'}`);
    if (stats.tokensPerSecond !== null) {
      parts.push(`${stats.tokensPerSecond.toFixed(stats.tokensPerSecond < 100 ? 1 : 0)} tokens/s`);
    }
    if (stats.firstTokenMs !== null) parts.push(`first token after ${duration(stats.firstTokenMs)}`);
  }
  if (state === AnswerState.kStopped) parts.push('stopped');
  if (state === AnswerState.kInterrupted) parts.push('interrupted');
  if (kEndings[finish]) parts.push(kEndings[finish]);
  return parts.join(' · ');
}

export class AnswerView {
  constructor(conversation, node, actions) {
    this.conversation = conversation;
    this.node = node;
    this.actions = actions;
    this.thought = h('div', {class: 'markdown'});
    this.thoughtView = new MarkdownView(this.thought);
    this.thoughtSummary = h('span');
    this.reasoning = h('details', {class: 'reasoning'},
                       h('summary', {}, icon('thought'), this.thoughtSummary, icon('down')), this.thought);
    this.text = h('div', {class: 'content markdown', dir: 'auto'});
    this.markdown = new MarkdownView(this.text);
    this.waiting = h('div', {class: 'waiting', role: 'img', 'aria-label': 'Waiting for the first token'},
                     h('span'), h('span'), h('span'));
    this.tools = new ToolCallsView((call, result) => this.actions.sendToolResult(this.node, call, result));
    this.problem = h('div');
    this.footer = h('div', {class: 'actions'});
    this.element = h('article', {class: 'message assistant', 'aria-label': 'Answer', 'data-id': node.id},
                     this.reasoning, this.text, this.waiting, this.tools.element, this.problem, this.footer);
    this.update();
  }

  get streaming() { return this.node.state === AnswerState.kStreaming; }

  // With its buttons, which depend on the rest of the conversation.
  refresh() {
    this.drawnState = null;
    this.update();
  }

  update() {
    const {node} = this;
    const empty = isEmptyAnswer(node);
    this.element.classList.toggle('streaming', this.streaming);
    this.element.setAttribute('aria-busy', String(this.streaming));
    this.updateReasoning(empty);
    this.markdown.update(node.content);
    this.tokens?.update(node.tokens);
    this.updateTools();
    this.waiting.hidden = !(this.streaming && empty && node.reasoning === '');
    if (this.drawnState !== node.state || this.streaming) this.updateFooter();
    this.drawnState = node.state;
  }

  updateTools() {
    const {conversation, node} = this;
    const known = new Set(toolResultsOf(conversation, node).map(({toolCallId}) => toolCallId));
    const answered = node.selected !== null && known.size === 0;
    const open = this.streaming || answered ? [] : node.toolCalls.filter(({id}) => !known.has(id));
    this.tools.update(node.toolCalls, open);
  }

  updateReasoning(empty) {
    const {node} = this;
    this.reasoning.hidden = node.reasoning === '';
    if (node.reasoning === '') return;
    const thinking = this.streaming && empty;
    const time = node.thinkingMs === undefined ? '' : ` for ${duration(node.thinkingMs)}`;
    this.thoughtSummary.textContent = thinking ? 'Thinking…' : `Thought${time}`;
    this.reasoning.classList.toggle('active', thinking);
    this.thoughtView.update(node.reasoning);
  }

  updateFooter() {
    const {node, actions} = this;
    const stats = h('span', {class: 'stats'}, statsText(node));
    if (this.streaming) {
      this.problemTimer?.();
      this.problem.replaceChildren();
      this.footer.replaceChildren(stats);
      return;
    }
    const [box, stopTimer] = node.problem === null ? [null, null] : problemBox(node.problem, {
      retry: () => actions.regenerate(node),
      key: () => actions.openSettings('api-key'),
      settings: () => actions.openSettings(),
    });
    this.problemTimer = stopTimer;
    this.problem.replaceChildren(...(box === null ? [] : [box]));
    this.footer.replaceChildren(...[
      versionSwitch(this.conversation, node, actions),
      node.content === '' ? null :
          iconButton('copy', 'Copy answer', (event) => copyFrom(event.currentTarget, node.content)),
      node.problem !== null && isEmptyAnswer(node) ? null :  // the problem has its own button
          iconButton('again', 'Regenerate', () => actions.regenerate(node)),
      this.canContinue() ? iconButton('continue', 'Continue', () => actions.continueAnswer(node)) : null,
      node.tokens.length === 0 ? null : this.probabilitiesButton(),
      stats,
    ].filter((part) => part !== null));
  }

  canContinue() {
    const {node} = this;
    if (node.content === '' || node.toolCalls.length > 0 || node.selected !== null) return false;
    return node.state !== AnswerState.kDone || node.finish === 'length';
  }

  probabilitiesButton() {
    return iconButton('bars', 'Probabilities', (event) => this.toggleTokens(event.currentTarget),
                      {'aria-pressed': String(this.tokens !== undefined)});
  }

  toggleTokens(button) {
    if (this.tokens === undefined) {
      this.tokens = new TokensView();
      this.tokens.update(this.node.tokens);
      this.text.after(this.tokens.element);
    } else {
      this.tokens.element.remove();
      this.tokens = undefined;
    }
    this.text.hidden = this.tokens !== undefined;
    button.setAttribute('aria-pressed', String(this.text.hidden));
  }

  destroy() { this.problemTimer?.(); }
}
