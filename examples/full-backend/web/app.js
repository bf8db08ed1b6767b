// The dashboard: window metrics as they close, the fleet, notifications.
// Everything comes from this same server, as JSON and server-sent events.

const keep = 120; // windows shown
const colours = ['#0a7d6c', '#c2571a', '#5661c9', '#b03a74', '#7a8b12', '#2f86c1', '#8d5a2b', '#6d6d6d', '#1aa179', '#d18b00'];
const $ = id => document.getElementById(id);
const series = new Map(); // thing -> Map(window start in ms -> metric)
let cursor = null;        // window start under the pointer

const clock = ms => new Date(ms).toLocaleTimeString();
const number = v => Number(v).toLocaleString(undefined, { maximumFractionDigits: 2 });
const colour = thing => colours[[...series.keys()].indexOf(thing) % colours.length];

function take(metric) {
  if (metric.avg == null) return;
  let windows = series.get(metric.thing);
  if (!windows) series.set(metric.thing, windows = new Map());
  windows.set(metric.window_start, metric);
  if (windows.size > keep) windows.delete(Math.min(...windows.keys()));
}

// draw is called at most once a frame, however many windows close together.
let drawing = false;
function redraw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; draw(); });
}

function draw() {
  const starts = [...new Set([...series.values()].flatMap(w => [...w.keys()]))].sort((a, b) => a - b).slice(-keep);
  $('no-metrics').hidden = starts.length > 0;
  if (!starts.length) return;
  const box = $('chart'), width = box.clientWidth, height = 300, left = 44, bottom = 22, top = 8, right = 12;
  const shown = new Set(starts);
  const values = [...series.values()].flatMap(w => [...w].filter(([at]) => shown.has(at)).map(([, m]) => m.avg));
  let low = Math.min(...values), high = Math.max(...values);
  const room = Math.max((high - low) * .1, .5);
  low -= room; high += room;
  const first = starts[0], last = starts.at(-1);
  const x = at => last === first ? (left + width - right) / 2 : left + (at - first) / (last - first) * (width - left - right);
  const y = v => top + (high - v) / (high - low) * (height - top - bottom);

  const parts = [];
  for (let i = 0; i <= 4; i++) {
    const v = low + (high - low) * i / 4;
    parts.push(`<line class="grid" x1="${left}" x2="${width - right}" y1="${y(v)}" y2="${y(v)}"/><text x="${left - 6}" y="${y(v) + 4}" text-anchor="end">${v.toFixed(1)}</text>`);
  }
  const ticks = Math.max(1, Math.min(starts.length - 1, Math.floor(width / 140)));
  for (let i = 0; i <= ticks; i++) {
    const at = first + (last - first) * i / ticks;
    parts.push(`<text x="${x(at)}" y="${height - 5}" text-anchor="${i === 0 ? 'start' : i === ticks ? 'end' : 'middle'}">${clock(at)}</text>`);
    if (first === last) break;
  }
  if (cursor !== null && shown.has(cursor)) parts.push(`<line class="cursor" x1="${x(cursor)}" x2="${x(cursor)}" y1="${top}" y2="${height - bottom}"/>`);
  for (const [thing, windows] of series) {
    const points = [...windows].filter(([at]) => shown.has(at)).sort(([a], [b]) => a - b).map(([at, m]) => [x(at), y(m.avg)]);
    if (!points.length) continue;
    parts.push(`<path stroke="${colour(thing)}" d="M${points.map(p => p.map(n => n.toFixed(1)).join(' ')).join('L')}"/>`);
    const [px, py] = points.at(-1);
    parts.push(`<circle cx="${px}" cy="${py}" r="3" fill="${colour(thing)}"/>`);
  }
  box.innerHTML = `<svg viewBox="0 0 ${width} ${height}">${parts.join('')}</svg>`;
  box.onpointermove = e => {
    const at = first + (e.clientX - box.getBoundingClientRect().left - left) / (width - left - right) * (last - first);
    cursor = starts.reduce((best, s) => Math.abs(s - at) < Math.abs(best - at) ? s : best, first);
    tip(e, cursor);
    redraw();
  };
  box.onpointerleave = () => { cursor = null; $('tip').hidden = true; redraw(); };
  legend();
}

function legend() {
  $('legend').replaceChildren(...[...series].slice(0, 30).map(([thing, windows]) => {
    const m = windows.get(Math.max(...windows.keys()));
    return row('li', thing, `${number(m.avg)} °`);
  }));
}

function row(tag, thing, value) {
  const el = document.createElement(tag), dot = document.createElement('i'), b = document.createElement('b');
  dot.style.background = colour(thing);
  b.textContent = value;
  b.dataset.thing = thing;
  el.append(dot, thing + ' ', b);
  return el;
}

function tip(e, at) {
  const head = document.createElement('div');
  head.textContent = clock(at);
  const rows = [...series].filter(([, w]) => w.has(at)).slice(0, 15).map(([thing, w]) => {
    const m = w.get(at);
    return row('div', thing, `${number(m.avg)} (${number(m.min)} to ${number(m.max)}, ${m.count})`);
  });
  const el = $('tip');
  el.replaceChildren(head, ...rows);
  el.hidden = false;
  el.style.left = Math.min(e.clientX + 14, innerWidth - el.offsetWidth - 8) + 'px';
  el.style.top = e.clientY + 14 + 'px';
}

function cell(tr, text, className) {
  const td = tr.insertCell();
  td.textContent = text;
  if (className) td.className = className;
  return td;
}

const state = o => o ? Object.entries(o).map(([k, v]) => `${k}: ${JSON.stringify(v)}`).join('\n') : '–';

async function fleet() {
  try {
    const answer = await fetch('api/fleet?prefix=' + encodeURIComponent($('prefix').value));
    if (!answer.ok) throw new Error(answer.status);
    const view = await answer.json();
    $('online').textContent = number(view.online);
    $('messages').textContent = number(view.messagesIn);
    $('lag').textContent = number(view.lag);
    $('no-things').hidden = view.things.length > 0;
    $('more-things').hidden = !view.more;
    const body = $('fleet').tBodies[0];
    body.replaceChildren(...view.things.map(t => {
      const tr = document.createElement('tr');
      cell(tr, t.thing);
      cell(tr, t.connected ? 'online' : 'offline', t.connected ? 'up' : 'down');
      for (const part of [t.reported, t.desired]) cell(tr, state(part), 'state').style.whiteSpace = 'pre-wrap';
      cell(tr, t.version || '–', 'n');
      return tr;
    }));
    link(true);
  } catch { link(false); }
}

function link(up) {
  $('link').className = up ? 'up' : 'down';
  $('link').textContent = up ? 'live' : 'no answer from the server, trying again';
}

// A subscription begins with the last notification of each thing, which the list had as well.
const told = new Set();

function notify(n) {
  const key = JSON.stringify([n.thing, n.time, n.message]);
  if (told.has(key)) return;
  told.add(key);
  const li = document.createElement('li'), time = document.createElement('time');
  time.textContent = new Date(n.time).toLocaleString();
  li.append(n.message, time);
  $('notifications').prepend(li);
  while ($('notifications').children.length > 100) $('notifications').lastChild.remove();
  $('no-notifications').hidden = true;
}

function follow(url, handle) {
  const source = new EventSource(url);
  source.onmessage = e => handle(JSON.parse(e.data).value);
  source.onerror = () => link(false);
  source.onopen = () => link(true);
}

for (const m of await (await fetch('api/metrics')).json()) take(m);
for (const n of await (await fetch('api/notifications')).json()) notify(n);
follow('api/live/metrics', m => { take(m); redraw(); });
follow('api/live/notifications', notify);
addEventListener('resize', redraw);
redraw();
fleet();
// Presence and shadows are told as they change; the counters are looked at now and then.
let due = null;
const soon = () => due ??= setTimeout(() => { due = null; fleet(); }, 200);
follow('api/live/fleet', soon);
$('prefix').addEventListener('input', soon);
setInterval(fleet, 5000);
