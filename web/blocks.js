// Markdown's blocks: lines in, a tree of plain objects out. No DOM here.
//
// A block has a `type` and the index `line` at which it begins:
//   heading {level, text}   paragraph {text}   code {info, text, closed}   rule {}
//   quote {blocks}          list {ordered, start, loose, items: [{checked, blocks, text}]}
//   table {align, head, rows}
// Deeper than kMaxDepth containers inside each other everything is a paragraph.

const kMaxDepth = 12;
const kMaxColumns = 64;

const isBlank = (line) => line.trim() === '';
const isRule = (line) => /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/.test(line);

function indentOf(line) {
  let width = 0;
  for (const c of line) {
    if (c === ' ') width += 1;
    else if (c === '\t') width += 4 - width % 4;
    else break;
  }
  return width;
}

function unindent(line, width) {
  let done = 0;
  let at = 0;
  while (done < width && (line[at] === ' ' || line[at] === '\t')) {
    done += line[at] === '\t' ? 4 - done % 4 : 1;
    ++at;
  }
  return ' '.repeat(Math.max(0, done - width)) + line.slice(at);
}

function matchFence(line) {
  const match = /^ {0,3}(`{3,}|~{3,})(.*)$/.exec(line);
  if (match === null || (match[1][0] === '`' && match[2].includes('`'))) return null;
  return {mark: match[1], indent: indentOf(line), info: match[2].trim()};
}

function matchHeading(line) {
  const match = /^ {0,3}(#{1,6})(?=[ \t]|$)(.*)$/.exec(line);
  if (match === null) return null;
  const text = match[2].trim();
  let end = text.length;
  while (end > 0 && text[end - 1] === '#') --end;
  const closed = end < text.length && (end === 0 || text[end - 1] === ' ' || text[end - 1] === '\t');
  return {level: match[1].length, text: closed ? text.slice(0, end).trimEnd() : text};
}

// {ordered, mark, start, indent, content, text}: a list's item begins here.
function matchItem(line) {
  const match = /^( {0,3})([-*+]|(\d{1,9})[.)])(?=[ \t]|$)(.*)$/.exec(line);
  if (match === null || isRule(line)) return null;
  const rest = match[4];
  const gap = indentOf(rest);
  const spaces = isBlank(rest) || gap > 4 ? 1 : gap;
  return {
    ordered: match[3] !== undefined,
    mark: match[2].at(-1),
    start: Number(match[3] ?? 1),
    content: match[1].length + match[2].length + spaces,
    // Models indent what belongs to "1." by two, too.
    least: match[1].length + 2,
    text: unindent(rest, spaces),
  };
}

function splitRow(line) {
  const cells = [''];
  const row = line.trim().replace(/^\|/, '');
  for (let i = 0; i < row.length; ++i) {
    if (row[i] === '\\' && row[i + 1] === '|') {
      cells[cells.length - 1] += '|';
      ++i;
    } else if (row[i] === '|') {
      cells.push('');
    } else {
      cells[cells.length - 1] += row[i];
    }
  }
  if (cells.length > 1 && isBlank(cells.at(-1))) cells.pop();
  return cells.slice(0, kMaxColumns).map((cell) => cell.trim());
}

// The alignments, or null where lines[i] and the one below do not begin a table.
function matchTable(lines, i) {
  if (!lines[i].includes('|') || i + 1 >= lines.length || !/^[ \t|:-]+$/.test(lines[i + 1])) return null;
  const rules = splitRow(lines[i + 1]);
  if (!rules.every((rule) => /^:?-+:?$/.test(rule))) return null;
  if (rules.length !== splitRow(lines[i]).length) return null;
  return rules.map((rule) => {
    if (rule.endsWith(':')) return rule.startsWith(':') ? 'center' : 'right';
    return rule.startsWith(':') ? 'left' : null;
  });
}

// May lines[i] stand right below a paragraph's line and be no part of it?
function interrupts(lines, i) {
  const line = lines[i];
  if (isBlank(line) || isRule(line) || /^ {0,3}>/.test(line)) return true;
  if (matchHeading(line) !== null || matchFence(line) !== null) return true;
  const item = matchItem(line);
  if (item !== null && !isBlank(item.text) && item.start === 1) return true;
  return matchTable(lines, i) !== null;
}

// --------------------------------------------------------------------------------------- blocks
// Each takes the lines and where it begins, and gives [block, index behind it].

function readCode(lines, i, fence) {
  const text = [];
  const end = new RegExp(`^ {0,3}${fence.mark[0]}{${fence.mark.length},}[ \\t]*$`);
  for (let next = i + 1; next < lines.length; ++next) {
    if (end.test(lines[next])) return [{type: 'code', info: fence.info, text, closed: true}, next + 1];
    text.push(unindent(lines[next], fence.indent));
  }
  return [{type: 'code', info: fence.info, text, closed: false}, lines.length];
}

function readIndented(lines, i) {
  let end = i;
  for (let next = i; next < lines.length && (isBlank(lines[next]) || indentOf(lines[next]) >= 4); ++next) {
    if (!isBlank(lines[next])) end = next + 1;
  }
  const text = lines.slice(i, end).map((line) => unindent(line, 4));
  return [{type: 'code', info: '', text, closed: true}, end];
}

function readQuote(lines, i, depth) {
  const inner = [];
  let next = i;
  for (; next < lines.length; ++next) {
    const match = /^ {0,3}> ?(.*)$/.exec(lines[next]);
    if (match !== null) {
      inner.push(match[1]);
    } else if (!interrupts(lines, next) && inner.length > 0 && !isBlank(inner.at(-1))) {
      inner.push(lines[next]);
    } else {
      break;
    }
  }
  return [{type: 'quote', blocks: parseBlocks(inner, depth + 1)}, next];
}

function readItem(lines, i, marker, depth) {
  const inner = [marker.text];
  let end = i + 1;  // behind the last line that is not blank
  for (let next = i + 1; next < lines.length; ++next) {
    const line = lines[next];
    const indent = indentOf(line);
    if (isBlank(line)) {
      inner.push('');
      continue;
    }
    const continues = indent >= Math.min(marker.content, marker.least);
    const lazy = !isBlank(lines[next - 1]) && matchItem(line) === null && !interrupts(lines, next);
    if (!continues && !lazy) break;
    inner.push(continues ? unindent(line, Math.min(indent, marker.content)) : line);
    end = next + 1;
  }
  inner.length = end - i;
  const box = /^\[([ xX])\](?=[ \t])/.exec(inner[0]);
  if (box !== null) inner[0] = inner[0].slice(4);
  const text = inner.join('\n');
  const blocks = parseBlocks(inner, depth + 1);
  // A blank line between two of its own blocks spreads the list.
  const loose = blocks.some((block, n) => n > 0 && isBlank(inner[block.line - 1]));
  return [{checked: box === null ? null : box[1] !== ' ', blocks, text, loose}, end];
}

function readList(lines, i, first, depth) {
  const list = {type: 'list', ordered: first.ordered, start: first.start, loose: false, items: []};
  let marker = first;
  let next = i;
  while (true) {
    const [item, end] = readItem(lines, next, marker, depth);
    list.items.push(item);
    list.loose ||= item.loose;
    next = end;
    let below = end;
    while (below < lines.length && isBlank(lines[below])) ++below;
    marker = below < lines.length ? matchItem(lines[below]) : null;
    if (marker === null || marker.ordered !== first.ordered || marker.mark !== first.mark) {
      return [list, next];
    }
    list.loose ||= below > end;
    next = below;
  }
}

function readTable(lines, i, align) {
  const rows = [];
  let next = i + 2;
  for (; next < lines.length && !isBlank(lines[next]) && lines[next].includes('|'); ++next) {
    const cells = splitRow(lines[next]);
    rows.push(align.map((_, column) => cells[column] ?? ''));
  }
  return [{type: 'table', align, head: splitRow(lines[i]), rows}, next];
}

function readParagraph(lines, i) {
  const text = [lines[i].trimStart()];
  for (let next = i + 1; next < lines.length; ++next) {
    const underline = /^ {0,3}(=+|-+)[ \t]*$/.exec(lines[next]);
    if (underline !== null) {
      const level = underline[1][0] === '=' ? 1 : 2;
      return [{type: 'heading', level, text: text.join('\n').trimEnd()}, next + 1];
    }
    if (interrupts(lines, next)) return [{type: 'paragraph', text: text.join('\n')}, next];
    text.push(lines[next].trimStart());
  }
  return [{type: 'paragraph', text: text.join('\n')}, lines.length];
}

function readBlock(lines, i, depth) {
  const line = lines[i];
  const fence = matchFence(line);
  if (fence !== null) return readCode(lines, i, fence);
  const heading = matchHeading(line);
  if (heading !== null) return [{type: 'heading', ...heading}, i + 1];
  if (isRule(line)) return [{type: 'rule'}, i + 1];
  if (depth < kMaxDepth && /^ {0,3}>/.test(line)) return readQuote(lines, i, depth);
  const item = depth < kMaxDepth ? matchItem(line) : null;
  if (item !== null) return readList(lines, i, item, depth);
  const align = matchTable(lines, i);
  if (align !== null) return readTable(lines, i, align);
  if (indentOf(line) >= 4) return readIndented(lines, i);
  return readParagraph(lines, i);
}

export function parseBlocks(lines, depth = 0) {
  const blocks = [];
  for (let i = 0; i < lines.length;) {
    if (isBlank(lines[i])) {
      ++i;
      continue;
    }
    const [block, end] = readBlock(lines, i, depth);
    blocks.push({...block, line: i});
    i = end;
  }
  return blocks;
}
