// Markdown within a line: emphasis, code, links, line breaks. Builds DOM nodes; markup that is not
// closed, HTML included, stays the text that it is. Linear in practice on any input.
import {h} from './dom.js';

const kMaxDepth = 16;  // elements inside each other; deeper emphasis stays text
const kEscapable = /[!-/:-@[-`{-~]/;
const kEntity = /&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(amp|lt|gt|quot|apos|nbsp));/y;
const kAutolink = /<((?:https?:\/\/|mailto:)[^\s<>]{1,2000})>/y;
const kBareUrl = /https?:\/\/[^\s<>"'`]{1,2000}/y;
const kDestination =
    /\(\s{0,99}(?:<([^<>\n]{0,2000})>|([^\s()]{0,2000}(?:\([^\s()]{0,500}\)[^\s()]{0,500}){0,20}))(?:\s{1,99}(?:"[^"]{0,500}"|'[^']{0,500}'))?\s{0,99}\)/y;
const kNamedEntities = {amp: '&', lt: '<', gt: '>', quot: '"', apos: '\'', nbsp: '\u00a0'};

const isSpace = (c) => c === '' || /\s/u.test(c);
const isPunctuation = (c) => c !== '' && /[\p{P}\p{S}]/u.test(c);

// The address as it may stand in a link, or null: http, https and mailto alone.
export function safeUrl(address) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  return ['http:', 'https:', 'mailto:'].includes(url.protocol) ? url.href : null;
}

function linkTo(address, children) {
  const href = safeUrl(address);
  if (href === null) return null;
  return h('a', {href, rel: 'noopener noreferrer nofollow', target: '_blank'}, ...children);
}

function matchAt(regex, text, position) {
  regex.lastIndex = position;
  return regex.exec(text);
}

// ------------------------------------------------------------------------------------- emphasis

// Items are {text}, {node, depth} or delimiter runs {mark, count, canOpen, canClose}. CommonMark's
// rules; returns items without runs.
function matchEmphasis(items) {
  const out = [];
  const openers = [];  // indices of runs in `out` that may still be closed
  const floors = new Map();  // kind of closer -> openers below this index do not fit it

  const truncate = (length) => {
    openers.length = length;
    for (const [kind, floor] of floors) floors.set(kind, Math.min(floor, length));
  };
  const fits = (opener, run) => {
    if (opener.mark !== run.mark) return false;
    if (run.mark === '~') return opener.count === run.count;
    const odd = opener.canClose || run.canOpen;
    return !odd || (opener.length + run.length) % 3 !== 0 ||
        (opener.length % 3 === 0 && run.length % 3 === 0);
  };
  const findOpener = (run) => {
    const kind = `${run.mark}${run.canOpen}${run.length % 3}${run.mark === '~' ? run.count : ''}`;
    const floor = floors.get(kind) ?? 0;
    for (let i = openers.length - 1; i >= floor; --i) {
      if (fits(out[openers[i]], run)) return i;
    }
    floors.set(kind, openers.length);
    return -1;
  };
  const close = (run) => {
    while (run.count > 0) {
      const found = findOpener(run);
      if (found < 0) return;
      const at = openers[found];
      const opener = out[at];
      const depth = depthOf(out.slice(at + 1)) + 1;
      if (depth > kMaxDepth) return;
      truncate(found + 1);
      const size = run.mark === '~' ? run.count : Math.min(2, opener.count, run.count);
      const tag = run.mark === '~' ? 'del' : size === 2 ? 'strong' : 'em';
      const node = h(tag, {}, ...toNodes(out.splice(at + 1)));
      opener.count -= size;
      run.count -= size;
      if (opener.count === 0) {
        out.pop();
        truncate(found);
      }
      out.push({node, depth});
    }
  };

  for (const item of items) {
    if (item.mark === undefined) {
      out.push(item);
      continue;
    }
    const run = {...item, length: item.count};
    if (run.canClose) close(run);
    if (run.count === 0) continue;
    if (run.canOpen) openers.push(out.length);
    out.push(run);
  }
  return out;
}

function depthOf(items) { return items.reduce((most, item) => Math.max(most, item.depth ?? 0), 0); }

function toNodes(items) {
  const nodes = [];
  let text = '';
  const flush = () => {
    if (text !== '') nodes.push(document.createTextNode(text));
    text = '';
  };
  for (const item of items) {
    if (item.node === undefined) {
      text += item.text ?? item.mark.repeat(item.count);
    } else {
      flush();
      nodes.push(item.node);
    }
  }
  flush();
  return nodes;
}

// -------------------------------------------------------------------------------------- scanner

class Scanner {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.items = [];
    this.brackets = [];  // indices of items that are "[" or "!["
    this.missing = new Set();  // closers that do not come any more
  }

  addText(text) {
    const last = this.items.at(-1);
    if (last !== undefined && last.text !== undefined && !last.bracket) {
      last.text += text;
    } else {
      this.items.push({text});
    }
  }

  addNode(node, depth = 1) { this.items.push({node, depth}); }

  // Where `closer` stands from `from` on, or -1; looks in vain only once.
  find(closer, from) {
    if (this.missing.has(closer)) return -1;
    const found = this.text.indexOf(closer, from);
    if (found < 0) this.missing.add(closer);
    return found;
  }

  run() {
    while (this.at < this.text.length) this.step();
    return toNodes(matchEmphasis(this.items));
  }

  step() {
    const c = this.text[this.at];
    if (c === '\\') return this.escape();
    if (c === '`') return this.codeSpan();
    if (c === '*' || c === '_' || c === '~') return this.delimiters(c);
    if (c === '[' || c === '!') return this.openBracket(c);
    if (c === ']') return this.closeBracket();
    if (c === '<') return this.autolink();
    if (c === '&') return this.entity();
    if (c === '\n') return this.lineBreak();
    if (c === 'h' && !/\w/.test(this.text[this.at - 1] ?? '') && this.bareUrl()) return;
    this.addText(c);
    ++this.at;
    // What cannot begin anything, at once.
    const plain = matchAt(/[^\\`*_~[\]!<&\nh]+/y, this.text, this.at);
    if (plain === null) return;
    this.addText(plain[0]);
    this.at += plain[0].length;
  }

  escape() {
    const next = this.text[this.at + 1] ?? '';
    if (next === '(' || next === '[') {  // TeX, shown as it was written
      const end = this.find(next === '(' ? '\\)' : '\\]', this.at + 2);
      if (end > 0) {
        this.addNode(h('code', {class: next === '(' ? 'math' : 'math math-block'},
                       this.text.slice(this.at + 2, end).trim()));
        this.at = end + 2;
        return;
      }
    }
    if (next === '\n') {
      ++this.at;
    } else if (kEscapable.test(next)) {
      this.addText(next);
      this.at += 2;
    } else {
      this.addText('\\');
      ++this.at;
    }
  }

  codeSpan() {
    const open = matchAt(/`+/y, this.text, this.at)[0];
    const start = this.at + open.length;
    let end = -1;
    if (!this.missing.has(open)) {
      const runs = /`+/g;
      runs.lastIndex = start;
      for (let run = runs.exec(this.text); run !== null && end < 0; run = runs.exec(this.text)) {
        if (run[0].length === open.length) end = run.index;
      }
    }
    if (end < 0) {
      this.missing.add(open);
      this.addText(open);
      this.at = start;
      return;
    }
    let code = this.text.slice(start, end).replaceAll('\n', ' ');
    if (code.startsWith(' ') && code.endsWith(' ') && code.trim() !== '') code = code.slice(1, -1);
    this.addNode(h('code', {}, code));
    this.at = end + open.length;
  }

  delimiters(mark) {
    let end = this.at;
    while (this.text[end] === mark) ++end;
    const before = Array.from(this.text.slice(Math.max(0, this.at - 2), this.at)).at(-1) ?? '';
    const after = Array.from(this.text.slice(end, end + 2))[0] ?? '';
    const left = !isSpace(after) && (!isPunctuation(after) || isSpace(before) || isPunctuation(before));
    const right = !isSpace(before) && (!isPunctuation(before) || isSpace(after) || isPunctuation(after));
    const count = end - this.at;
    const within = mark === '_';  // snake_case is no emphasis
    const allowed = mark !== '~' || count <= 2;
    this.items.push({
      mark, count,
      canOpen: allowed && left && (!within || !right || isPunctuation(before)),
      canClose: allowed && right && (!within || !left || isPunctuation(after)),
    });
    this.at = end;
  }

  openBracket(c) {
    const image = c === '!' && this.text[this.at + 1] === '[';
    if (c === '!' && !image) {
      this.addText(c);
      ++this.at;
      return;
    }
    this.brackets.push(this.items.length);
    this.items.push({text: image ? '![' : '[', bracket: true});
    this.at += image ? 2 : 1;
  }

  // An image is shown as a link: the page makes no request of its own.
  closeBracket() {
    const open = this.brackets.pop();
    const target = open === undefined ? null : matchAt(kDestination, this.text, this.at + 1);
    const address = target?.[1] ?? target?.[2] ?? '';
    const safe = address !== '' && safeUrl(address) !== null;
    const inner = safe ? this.items.splice(open + 1) : [];
    const depth = depthOf(inner) + 1;
    if (!safe || depth > kMaxDepth) {
      this.items.push(...inner);
      this.addText(']');
      ++this.at;
      return;
    }
    this.items.pop();
    const children = toNodes(matchEmphasis(inner));
    this.addNode(linkTo(address, children.length > 0 ? children : [address]), depth);
    this.at += 1 + target[0].length;
    this.brackets = [];  // links hold no links
  }

  autolink() {
    const match = matchAt(kAutolink, this.text, this.at);
    const link = match === null ? null : linkTo(match[1], [match[1]]);
    if (link === null) {
      this.addText('<');
      ++this.at;
      return;
    }
    this.addNode(link);
    this.at += match[0].length;
  }

  bareUrl() {
    const match = matchAt(kBareUrl, this.text, this.at);
    if (match === null) return false;
    let address = match[0];
    for (let last = address.at(-1); '.,;:!?)]}*_~|'.includes(last); last = address.at(-1)) {
      if (last === ')' && address.split('(').length >= address.split(')').length) break;
      address = address.slice(0, -1);
    }
    const link = linkTo(address, [address]);
    if (link === null) return false;
    this.addNode(link);
    this.at += address.length;
    return true;
  }

  entity() {
    const match = matchAt(kEntity, this.text, this.at);
    const code = match === null ? NaN : match[1] ? Number(match[1]) : parseInt(match[2], 16);
    if (match !== null && match[3] !== undefined) {
      this.addText(kNamedEntities[match[3]]);
    } else if (code > 0 && code <= 0x10FFFF) {
      this.addText(String.fromCodePoint(code));
    } else {
      this.addText('&');
      ++this.at;
      return;
    }
    this.at += match[0].length;
  }

  lineBreak() {
    const last = this.items.at(-1);
    if (last !== undefined && last.text !== undefined) last.text = last.text.trimEnd();
    this.addNode(document.createElement('br'), 0);
    ++this.at;
    while (this.text[this.at] === ' ') ++this.at;
  }
}

export function renderInline(text) { return new Scanner(text).run(); }
