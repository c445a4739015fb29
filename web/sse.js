// Server-sent events from a fetch response's body (EventSource cannot POST).

// Yields the data of each event. Ends where the body ends; throws what reading throws.
export async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    while (true) {
      const {done, value} = await reader.read();
      if (done) return;
      const events = (rest + value).replaceAll('\r\n', '\n').split('\n\n');
      rest = events.pop();
      for (const event of events) {
        const data = event.split('\n')
                         .filter((line) => line.startsWith('data:'))
                         .map((line) => line.slice(line[5] === ' ' ? 6 : 5));
        if (data.length > 0) yield data.join('\n');
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
