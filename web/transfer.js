// Conversations as files: JSON that can be imported again, and Markdown to read.
import {newConversation, shownPath} from './conversation.js';
import {h, randomId} from './dom.js';

const kFormat = 'phalanx-conversations';
const kRoles = ['user', 'assistant', 'tool'];
const kStates = ['done', 'stopped', 'failed', 'interrupted'];

export function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], {type}));
  h('a', {href: url, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

export function fileNameOf(conversation, ending) {
  const name = conversation.title.replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '').slice(0, 60);
  return `${name || 'conversation'}.${ending}`;
}

export const toJson = (conversations) =>
    JSON.stringify({format: kFormat, version: 1, conversations}, null, 1);

export function toMarkdown(conversation) {
  const names = {user: 'You', assistant: 'Assistant', tool: 'Tool'};
  const parts = shownPath(conversation).map((node) => `## ${names[node.role]}\n\n${node.content}\n`);
  return [`# ${conversation.title}\n`, ...parts].join('\n');
}

// ------------------------------------------------------------------------------------- import
// A file is not trusted: every field is read into a fresh object, with its type checked.

const text = (value) => typeof value === 'string' ? value : '';
const number = (value) => typeof value === 'number' && Number.isFinite(value) ? value : null;
const list = (value) => Array.isArray(value) ? value : [];
const object = (value) => typeof value === 'object' && value !== null ? value : {};

const bytes = (value) => Array.isArray(value) ? value.map((byte) => number(byte) ?? 0) : null;

function readToken(value) {
  const {text: word, logprob, bytes: raw, top, thinking} = object(value);
  const one = (token) => ({text: text(token.text), logprob: number(token.logprob), bytes: bytes(token.bytes)});
  return {...one({text: word, logprob, bytes: raw}), thinking: thinking === true,
          top: list(top).map((token) => one(object(token)))};
}

function readStats(value) {
  if (value === null || typeof value !== 'object') return null;
  return Object.fromEntries(['promptTokens', 'completionTokens', 'firstTokenMs', 'tokensPerSecond'].map(
      (name) => [name, number(value[name])]));
}

function readProblem(value) {
  if (value === null || typeof value !== 'object') return null;
  return {title: text(value.title), detail: text(value.detail), action: 'retry', retryAt: null};
}

function readNode(value, id, parent) {
  const node = {id, parent, children: [], selected: null, role: value.role, content: text(value.content),
                created: number(value.created) ?? Date.now()};
  if (node.role === 'tool') return {...node, toolCallId: text(value.toolCallId)};
  if (node.role === 'user') return node;
  return {
    ...node, reasoning: text(value.reasoning), finish: text(value.finish) || null, model: text(value.model),
    state: kStates.includes(value.state) ? value.state : 'interrupted',
    toolCalls: list(value.toolCalls).map(object).map((call) => ({
      id: text(call.id), name: text(call.name), arguments: text(call.arguments)})),
    tokens: list(value.tokens).map(readToken), stats: readStats(value.stats), problem: readProblem(value.problem),
  };
}

// Follows the children from the root on, so that neither loops nor loose ends come in.
function readConversation(value) {
  const given = object(object(value).nodes);
  const conversation = newConversation(number(value.created) ?? Date.now());
  conversation.updated = number(value.updated) ?? conversation.created;
  conversation.title = text(value.title).slice(0, 200) || 'Imported';
  conversation.renamed = value.renamed === true;
  const seen = new Set(['root']);
  const todo = [['root', 'root']];
  while (todo.length > 0) {
    const [from, to] = todo.pop();
    const parent = conversation.nodes[to];
    const {children, selected} = object(Object.hasOwn(given, from) ? given[from] : null);
    for (const child of list(children)) {
      const node = Object.hasOwn(given, child) ? object(given[child]) : {};
      if (seen.has(child) || !kRoles.includes(node.role)) continue;
      seen.add(child);
      const id = randomId();
      conversation.nodes[id] = readNode(node, id, to);
      parent.children.push(id);
      if (child === selected || parent.selected === null) parent.selected = id;
      todo.push([child, id]);
    }
  }
  return conversation;
}

// Throws an Error whose message is for the user.
export function fromJson(json) {
  let file;
  try {
    file = JSON.parse(json);
  } catch {
    throw new Error('This file is not JSON.');
  }
  if (object(file).format !== kFormat || !Array.isArray(file.conversations)) {
    throw new Error('This file does not hold conversations of this page.');
  }
  return file.conversations.map((value) => readConversation(object(value)))
      .filter((conversation) => conversation.nodes.root.children.length > 0);
}
