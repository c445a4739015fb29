// One answer on its way: asks the API, grows the answer's node, and measures.
import {ApiError, streamChat} from './api.js';
import {AnswerState, messagesOf, pathTo} from './conversation.js';
import {parseTools} from './settings.js';

const kAlternatives = 5;

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
    const seconds = this.first === null ? 0 : (this.last - this.first) / 1000;
    this.node.stats = {
      promptTokens: promptTokens - (this.continues ? this.tokensBefore : 0),
      completionTokens: tokens + (this.continues ? this.tokensBefore : 0),
      firstTokenMs: this.first === null ? null : this.first - this.start,
      // The first token came with the prompt's work; the rate is that of the others.
      tokensPerSecond: tokens > 1 && seconds > 0 ? (tokens - 1) / seconds : null,
    };
  }
}
