// A conversation is a tree: editing a question or asking again adds a sibling, and every node knows
// which of its children is shown. Plain data, as it is stored and exported.
//
//   {id, title, renamed, created, updated, nodes: {id: node}}
//   node: {id, parent, children: [id], selected: id or null, role, content, created}
//   an answer also has: state, reasoning, toolCalls, tokens, stats, finish, problem, model
//   a tool's result also has: toolCallId
//
// The node "root" stands above the first questions.
import {randomId} from './dom.js';

const kTitleLength = 60;

export const AnswerState = {
  kStreaming: 'streaming',
  kDone: 'done',
  kStopped: 'stopped',  // by the user
  kFailed: 'failed',  // see `problem`
  kInterrupted: 'interrupted',  // the page was closed while it came
};

export function newConversation(now = Date.now()) {
  const root = {id: 'root', parent: null, children: [], selected: null, role: 'root'};
  return {id: randomId(), title: '', renamed: false, created: now, updated: now, nodes: {root}};
}

// Adds a node below `parent` and shows it.
export function addNode(conversation, parent, fields) {
  const node = {id: randomId(), parent, children: [], selected: null, created: Date.now(), ...fields};
  conversation.nodes[node.id] = node;
  conversation.nodes[parent].children.push(node.id);
  conversation.nodes[parent].selected = node.id;
  conversation.updated = node.created;
  if (node.role === 'user' && parent === 'root' && !conversation.renamed) {
    conversation.title = titleOf(node.content);
  }
  return node;
}

export function addAnswer(conversation, parent) {
  return addNode(conversation, parent, {
    role: 'assistant', content: '', reasoning: '', toolCalls: [], tokens: [], stats: null, finish: null,
    problem: null, model: '', state: AnswerState.kStreaming,
  });
}

export function titleOf(text) {
  const line = text.trim().replace(/\s+/g, ' ');
  const characters = Array.from(line);
  return characters.length <= kTitleLength ? line : `${characters.slice(0, kTitleLength).join('')}…`;
}

// The nodes that are shown, first to last.
export function shownPath(conversation) {
  const path = [];
  for (let id = conversation.nodes.root.selected; id !== null;) {
    const node = conversation.nodes[id];
    path.push(node);
    id = node.selected;
  }
  return path;
}

// {index, count} among the versions of this node.
export function versionsOf(conversation, node) {
  const {children} = conversation.nodes[node.parent];
  return {index: children.indexOf(node.id), count: children.length};
}

export function showVersion(conversation, node, index) {
  const parent = conversation.nodes[node.parent];
  parent.selected = parent.children[index] ?? parent.selected;
}

// The nodes from the first question to `node`.
export function pathTo(conversation, node) {
  const path = [];
  for (let at = node; at.id !== 'root'; at = conversation.nodes[at.parent]) path.unshift(at);
  return path;
}

// The results that stand below an answer's calls of tools, as they are shown.
export function toolResultsOf(conversation, node) {
  const results = [];
  for (let id = node.selected; id !== null && conversation.nodes[id].role === 'tool'; id = results.at(-1).selected) {
    results.push(conversation.nodes[id]);
  }
  return results;
}

export const isEmptyAnswer = (node) =>
    node.role === 'assistant' && node.content === '' && node.toolCalls.length === 0;

// What the API calls messages. Answers without a word are left out.
export function messagesOf(path, systemPrompt) {
  const messages = systemPrompt.trim() === '' ? [] : [{role: 'system', content: systemPrompt}];
  for (const node of path) {
    if (isEmptyAnswer(node)) continue;
    const message = {role: node.role, content: node.content};
    if (node.role === 'assistant' && node.toolCalls.length > 0) {
      message.tool_calls = node.toolCalls.map(
          ({id, name, arguments: text}) => ({id, type: 'function', function: {name, arguments: text}}));
    }
    if (node.role === 'tool') message.tool_call_id = node.toolCallId;
    messages.push(message);
  }
  return messages;
}

// After a reload nothing streams any more.
export function settleAnswers(conversation) {
  for (const node of Object.values(conversation.nodes)) {
    if (node.state === AnswerState.kStreaming) node.state = AnswerState.kInterrupted;
  }
}
