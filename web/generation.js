// One answer on its way: asks the API, grows the answer's node, and measures.
import {ApiError, streamChat} from './api.js';
import {AnswerState, messagesOf, pathTo} from './conversation.js';
import {parseTools} from './settings.js';

const kAlternatives = 5;
const kLeastMs = 100;

function readToken({token, logprob, bytes}) { return {text: token, logprob, bytes}; }

// A server may allow no log-probabilities (--max-logprobs); then the page does without.
let probabilitiesAllowed = true;

export class Generation {
  // `onChange` is called for every piece, `onEnd` once.
  constructor(conversation, node, settings, {onChange, onEnd}) {
    this.conversation = conversation;
    this.node = node;
    this.settings = settings;
    this.onChange = onChange;
    this.onEnd = onEnd;
    this.abort = new AbortController();
    this.continues = node.content !== '';
    this.tokensBefore = node.stats?.completionTokens ?? 0;
  }

  stop() { this.abort.abort(); }

  body() {
    const {values} = this.settings;
    const path = pathTo(this.conversation, this.node);
    const {tools} = parseTools(values.tools);
    return {
      ...(values.model === '' ? {} : {model: values.model}),
      messages: messagesOf(path, values.system),
      stream: true,
      stream_options: {include_usage: true, continuous_usage_stats: true},
      ...this.settings.sampling(),
      ...(values.probabilities && probabilitiesAllowed ? {logprobs: true, top_logprobs: kAlternatives} : {}),
      ...(tools?.length > 0 ? {tools} : {}),
      ...(this.continues ? {continue_final_message: true, add_generation_prompt: false} : {}),
    };
  }

  async run() {
    const {node} = this;
    Object.assign(node, {state: AnswerState.kStreaming, problem: null, finish: null});
    this.onChange();
    try {
      await this.receive();
      node.state = AnswerState.kDone;
    } catch (error) {
      if (error.name === 'AbortError') {
        node.state = AnswerState.kStopped;
      } else {
        node.state = AnswerState.kFailed;
        node.problem = error.problem ?? {title: 'The page failed', detail: error.message, action: 'retry'};
      }
    }
    this.onEnd();
  }

  async receive() {
    try {
      await this.receiveOnce();
    } catch (error) {
      const refused = error instanceof ApiError && error.status === 400 &&
          ['logprobs', 'top_logprobs'].includes(error.param) && probabilitiesAllowed;
      if (!refused) throw error;
      probabilitiesAllowed = false;
      await this.receiveOnce();
    }
  }

  async receiveOnce() {
    this.start = performance.now();
    this.first = null;
    for await (const chunk of streamChat(this.body(), this.settings.apiKey, this.abort.signal)) {
      this.take(chunk);
      this.onChange();
    }
  }

  take(chunk) {
    const {node} = this;
    const choice = chunk.choices?.[0];
    const now = performance.now();
    if (chunk.model) node.model = chunk.model;
    if (choice?.delta && !choice.finish_reason) {
      this.first ??= now;
      this.last = now;
      this.takeDelta(choice.delta);
    }
    const thinking = Boolean(choice?.delta?.reasoning_content);
    for (const token of choice?.logprobs?.content ?? []) {
      node.tokens.push({...readToken(token), thinking, top: (token.top_logprobs ?? []).map(readToken)});
    }
    if (choice?.finish_reason) node.finish = choice.finish_reason;
    if (chunk.usage) this.measure(chunk.usage);
  }

  takeDelta(delta) {
    const {node} = this;
    node.content += delta.content ?? '';
    if (delta.reasoning_content) {
      node.reasoning += delta.reasoning_content;
      node.thinkingMs = this.last - this.start;
    }
    for (const part of delta.tool_calls ?? []) {
      const call = node.toolCalls[part.index] ??= {id: '', name: '', arguments: ''};
      call.id ||= part.id ?? '';
      call.name += part.function?.name ?? '';
      call.arguments += part.function?.arguments ?? '';
    }
  }

  measure({prompt_tokens: promptTokens, completion_tokens: tokens}) {
    const before = this.continues ? this.tokensBefore : 0;
    this.node.stats = {
      promptTokens: promptTokens - before,
      completionTokens: tokens + before,
      firstTokenMs: this.first === null ? null : this.first - this.start,
      tokensPerSecond: this.rate(tokens),
    };
  }

  // Without the first token, which came with the prompt's work. Where all came nearly at once, the
  // time between them says nothing, and the whole of it counts.
  rate(tokens) {
    if (this.first === null || tokens < 2) return null;
    const between = this.last - this.first;
    return between > kLeastMs ? (tokens - 1) * 1000 / between : tokens * 1000 / (this.last - this.start);
  }
}
