// What went wrong, in words for people. A problem is plain data, so that it can be stored:
// {title, detail, action, retryAt}; `action` is what may help: 'retry', 'key', 'settings' or null.

const problem = (title, detail, action = 'retry', retryAt = null) => ({title, detail, action, retryAt});

// Retry-After holds seconds or a date.
function retryTime(header, now) {
  if (header === null) return null;
  const seconds = Number(header);
  const time = Number.isFinite(seconds) ? now + seconds * 1000 : Date.parse(header);
  return Number.isNaN(time) ? null : time;
}

async function messageOf(response) {
  try {
    const body = await response.json();
    return typeof body.error?.message === 'string' ? body.error.message : '';
  } catch {
    return '';
  }
}

// Of an answer that is not 200. `key`: what the request was sent with.
export async function problemOf(response, key) {
  const said = await messageOf(response);
  const retryAt = retryTime(response.headers.get('Retry-After'), Date.now());
  switch (response.status) {
    case 400:
    case 422:
      return problem('The server refused this request', said, 'settings');
    case 401:
      return key === '' ?
          problem('This server asks for an API key', 'Enter the key that you were given.', 'key') :
          problem('The API key was not accepted', 'Check it for typing errors, or ask for a new one.', 'key');
    case 403:
      return problem('This API key may not do that', said, 'key');
    case 404:
      return problem('The server does not know this model', said, 'retry');
    case 413:
      return problem('This conversation is too long to send', said, null);
    case 429:
      if (said.startsWith('this key has ')) {
        return problem('This API key has too many answers under way', 'Try again when one of them has ended.', 'retry',
                       retryAt);
      }
      return problem('The server is busy', 'More people are asking than it can answer right now.', 'retry',
                     retryAt);
    case 503:
      return problem('The server is not ready', 'It is starting, shutting down, or has lost its workers.',
                     'retry', retryAt);
    case 504:
      return problem('The answer took too long', said);
    default:
      return problem(`The server failed (status ${response.status})`, said);
  }
}

export const unreachable = () => problem(
    'No connection to the server', 'It may have stopped, or be restarting. Your message is kept here.');

export const brokenOff = (said) => problem('The answer broke off', said || 'The connection to the server was lost.');

export const unreadable = () => problem('The server sent something unexpected', 'The answer could not be read.');
