// Colours for code: comments, strings, numbers, keywords and called names. One small scanner for all
// languages; what it does not know stays plain.
const kMaxLength = 40000;

const words = (text) => new Set(text.split(' '));

const kCommon =
    'break case catch class const continue default do else enum export false finally for if import in ' +
    'interface let new null package private protected public return static super switch this throw true ' +
    'try typeof var void while yield async await function';
const kFamilies = [
  {
    names: words('c h cc cpp c++ cxx hpp cu cuda java js javascript jsx mjs ts typescript tsx go rust rs ' +
                 'swift kotlin kt scala csharp cs dart php proto zig json json5 jsonc'),
    comment: '\\/\\/[^\\n]*|\\/\\*[^]*?(?:\\*\\/|$)',
    string: '"(?:[^"\\\\\\n]|\\\\.)*"?|\'(?:[^\'\\\\\\n]|\\\\.)*\'?|`(?:[^`\\\\]|\\\\[^])*`?',
    keywords: words(kCommon + ' ' +
        'auto bool char constexpr delete double explicit extern float friend goto inline int long mutable ' +
        'namespace nullptr operator override register short signed sizeof struct template typedef typename ' +
        'union unsigned using virtual volatile concept requires noexcept fn impl match mod move mut pub ref ' +
        'self trait type unsafe use where func defer range map chan select go package fallthrough extends ' +
        'implements instanceof of readonly declare abstract final throws boolean byte string val fun when ' +
        'object data sealed is as nil undefined message service rpc returns'),
  },
  {
    names: words('py python sh bash shell zsh console fish ruby rb perl pl yaml yml toml ini make makefile ' +
                 'cmake dockerfile docker r julia elixir nix conf'),
    comment: '#[^\\n]*',
    string: '"""[^]*?(?:"""|$)|\'\'\'[^]*?(?:\'\'\'|$)|"(?:[^"\\\\\\n]|\\\\.)*"?|\'(?:[^\'\\\\\\n]|\\\\.)*\'?',
    keywords: words(kCommon + ' ' +
        'and as assert def del elif except from global is lambda nonlocal not or pass raise with None True ' +
        'False self match then fi done esac elsif end begin module require unless until echo exit local set ' +
        'export source readonly FROM RUN COPY CMD ENTRYPOINT ENV WORKDIR ARG EXPOSE'),
  },
  {
    names: words('sql lua haskell hs ada'),
    comment: '--[^\\n]*|\\/\\*[^]*?(?:\\*\\/|$)',
    string: '"(?:[^"\\\\\\n]|\\\\.)*"?|\'(?:[^\'\\n])*\'?',
    ignoreCase: true,
    keywords: words(
        'select from where and or not in is null insert into values update set delete create table index ' +
        'view drop alter add primary key foreign references join left right inner outer full on group by ' +
        'order having limit offset union all distinct as case when then else end with exists between like ' +
        'asc desc count sum avg min max local function return if for while do repeat until elseif nil true ' +
        'false module import data type let'),
  },
  {
    names: words('html xml svg vue xhtml'),
    comment: '<!--[^]*?(?:-->|$)',
    string: '"[^"<]*"?',
    keywords: new Set(),
    tags: true,
  },
  {
    names: words('css scss less'),
    comment: '\\/\\*[^]*?(?:\\*\\/|$)',
    string: '"(?:[^"\\\\\\n]|\\\\.)*"?|\'(?:[^\'\\\\\\n]|\\\\.)*\'?',
    keywords: words('important inherit initial none auto flex grid block var calc'),
  },
];

const kNumber = '0[xX][0-9a-fA-F_]+|\\d[\\d_]*(?:\\.\\d+)?(?:[eE][+-]?\\d+)?';

function scannerOf(family) {
  const tag = family.tags ? '|(?<tag><\\/?[A-Za-z][\\w:-]*|\\/?>)' : '';
  return new RegExp(`(?<comment>${family.comment})|(?<string>${family.string})${tag}` +
                        `|(?<name>[A-Za-z_$][\\w$]*)|(?<number>${kNumber})`,
                    'g');
}

function classOf(groups, family, code, end) {
  if (groups.comment !== undefined) return 'hl-comment';
  if (groups.string !== undefined) return 'hl-string';
  if (groups.number !== undefined) return 'hl-number';
  if (groups.tag !== undefined) return 'hl-keyword';
  const name = family.ignoreCase ? groups.name.toLowerCase() : groups.name;
  if (family.keywords.has(name)) return 'hl-keyword';
  return code[end] === '(' ? 'hl-call' : null;
}

// [{name, text}] that together have exactly the text `code`; `name` is a class, or null for plain text.
export function highlight(code, language) {
  const family = kFamilies.find(({names}) => names.has(language.toLowerCase()));
  if (family === undefined || code.length > kMaxLength) return [{name: null, text: code}];
  const parts = [];
  let plain = 0;
  for (const match of code.matchAll(scannerOf(family))) {
    const end = match.index + match[0].length;
    const name = classOf(match.groups, family, code, end);
    if (name === null) continue;
    if (match.index > plain) parts.push({name: null, text: code.slice(plain, match.index)});
    parts.push({name, text: match[0]});
    plain = end;
  }
  if (plain < code.length) parts.push({name: null, text: code.slice(plain)});
  return parts;
}
