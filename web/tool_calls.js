// The calls of tools in an answer, each with a field for what the tool said.
import {CodeView} from './code_view.js';
import {h, icon} from './dom.js';

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;  // not complete, or no JSON
  }
}

export class ToolCallsView {
  // `onResult(call, text)`: the user has entered a tool's result.
  constructor(onResult) {
    this.onResult = onResult;
    this.element = h('div', {class: 'tool-calls'});
    this.shown = '';
  }

  // `open`: those of the calls whose result can be entered.
  update(calls, open) {
    const key = JSON.stringify([calls, open]);
    if (key === this.shown) return;
    this.shown = key;
    this.element.replaceChildren(...calls.map((call) => this.card(call, open.includes(call))));
  }

  card(call, open) {
    const code = h('code');
    new CodeView(code).update(pretty(call.arguments), 'json');
    const field = h('input', {type: 'text', 'aria-label': `Result of ${call.name}`,
                              placeholder: 'What did it return?'});
    const send = (event) => {
      event.preventDefault();
      if (field.value.trim() !== '') this.onResult(call, field.value);
    };
    return h('section', {class: 'tool-call', 'aria-label': `Call of ${call.name}`},
             h('h3', {}, icon('tool'), h('span', {}, 'Calls '), h('code', {}, call.name)),
             h('pre', {tabindex: '0'}, code),
             open ? h('form', {class: 'tool-result', onsubmit: send}, field,
                      h('button', {type: 'submit', class: 'button'}, 'Send result')) : null);
  }
}
