'use strict';
(() => {
  const EVERY = 2000, KEPT = 60, SVG = 'http://www.w3.org/2000/svg';
  const byId = id => document.getElementById(id);
  const cards = new Map();
  let before = null, polls = 0;

  const make = (tag, text, kind) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    if (kind) node.className = kind;
    return node;
  };
  const short = n => n === 0 ? '0' : n < 10 ? n.toFixed(1) : n < 10000 ? Math.round(n).toString()
    : n < 1e6 ? (n / 1e3).toFixed(1) + ' k' : (n / 1e6).toFixed(1) + ' M';
  const whole = n => n.toLocaleString('en');
  const bytes = n => n < 1024 ? n + ' B' : n < 1048576 ? (n / 1024).toFixed(1) + ' KiB' : (n / 1048576).toFixed(1) + ' MiB';
  const three = n => n < 99.95 ? n.toFixed(1) : Math.round(n).toString();
  const time = ns => !(ns > 0) ? '–' : ns < 1e3 ? Math.round(ns) + ' ns' : ns < 1e6 ? three(ns / 1e3) + ' µs'
    : ns < 1e9 ? three(ns / 1e6) + ' ms' : three(ns / 1e9) + ' s';
  const mean = t => t.count ? t.sum / t.count : 0;

  // What the calls between two reports took: the time that a share of them was not above.
  const quantile = (now, old, share) => {
    const seen = i => now[i][1] - (old ? old[i][1] : 0);
    const all = seen(now.length - 1);
    if (all <= 0) return null;
    const wanted = share * all;
    for (let i = 0; i < now.length; i++) {
      if (seen(i) < wanted) continue;
      const low = i ? now[i - 1][0] : 0, high = now[i][0] === null ? low : now[i][0];
      const under = i ? seen(i - 1) : 0;
      return low + (high - low) * (wanted - under) / (seen(i) - under || 1);
    }
    return null;
  };

  const path = kind => {
    const node = document.createElementNS(SVG, 'path');
    node.setAttribute('class', kind);
    return node;
  };

  // A line for each series, over one scale.
  const chart = (label, kinds) => {
    const node = make('div', undefined, 'chart');
    const text = make('p'), value = make('b', '–');
    text.append(value, label);
    const svg = document.createElementNS(SVG, 'svg');
    svg.setAttribute('viewBox', '0 0 ' + (KEPT - 1) + ' 40');
    svg.setAttribute('preserveAspectRatio', 'none');
    svg.setAttribute('aria-hidden', 'true');
    const base = path('base');
    base.setAttribute('d', 'M0 40H' + (KEPT - 1));
    const area = path('area ' + kinds[0]), lines = kinds.map(path);
    svg.append(base, area, ...lines);
    node.append(text, svg);
    const series = kinds.map(() => []);
    return { node, show(shown, values, bad) {
      value.textContent = shown;
      text.className = bad ? 'bad' : '';
      values.forEach((v, i) => { series[i].push(v); if (series[i].length > KEPT) series[i].shift(); });
      const most = Math.max(...series.flat().filter(v => v !== null), 0) || 1;
      series.forEach((points, i) => {
        let d = '', first = null, last = 0, up = false;
        points.forEach((v, at) => {
          const x = KEPT - points.length + at;
          if (v === null) { up = false; return; }
          if (first === null) first = x;
          d += (up ? 'L' : 'M') + x + ' ' + (39 - 36 * v / most).toFixed(2);
          up = true; last = x;
        });
        lines[i].setAttribute('d', d);
        if (i === 0) area.setAttribute('d', d && !d.includes('M', 1) ? d + 'L' + last + ' 40L' + first + ' 40Z' : '');
      });
    } };
  };

  const card = (key, filter) => {
    if (cards.has(key)) return cards.get(key);
    const node = make('article', undefined, 'card'), head = make('h3', filter.filter);
    head.append(make('span', filter.engine));
    const legend = make('span');
    legend.append(make('span', 'median', 'key'), ', ', make('span', '99 %', 'key second'));
    const all = { rate: chart('calls per second', ['']), bad: chart('failures and traps', ['bad']),
      time: chart(legend, ['', 'second']), memory: chart('memory', ['']) };
    node.append(head, ...Object.values(all).map(each => each.node));
    byId('cards').append(node);
    cards.set(key, { node, ...all });
    return cards.get(key);
  };

  const rows = (id, list, cells) => byId(id).replaceChildren(...list.map(item => {
    const row = make('tr');
    cells(item).forEach((content, i) => {
      const number = Array.isArray(content);
      const cell = make(i ? 'td' : 'th', undefined, number ? 'n' : '');
      if (!i) cell.scope = 'row';
      cell.append(...(number ? content : [content]));
      row.append(cell);
    });
    return row;
  }));

  const bar = zone => {
    const node = make('meter');
    node.max = zone.size; node.value = zone.used; node.high = zone.size * 0.9;
    node.setAttribute('aria-label', 'used');
    return node;
  };

  const id = f => JSON.stringify([f.filter, f.engine]);
  const charts = (report, span) => {
    const known = new Map(before.filters.map(f => [id(f), f]));
    for (const filter of report.filters) {
      const old = known.get(id(filter));
      if (!old) continue;
      const one = card(id(filter), filter);
      const rate = Math.max(0, filter.calls - old.calls) / span;
      // A request that a trap has ended is both.
      const bad = Math.max(0, filter.failures - old.failures, filter.traps - old.traps) / span;
      const [half, most] = [0.5, 0.99].map(share => quantile(filter.time.buckets, old.time.buckets, share));
      one.rate.show(short(rate) + ' /s', [rate]);
      one.bad.show(short(bad) + ' /s', [bad], bad > 0);
      one.time.show(time(half) + ' · ' + time(most), [half, most]);
      one.memory.show(bytes(filter.memory), [filter.memory]);
    }
    const now = new Set(report.filters.map(id));
    for (const [key, one] of cards) if (!now.has(key)) { one.node.remove(); cards.delete(key); }
    byId('cards').hidden = cards.size === 0;
  };

  const show = report => {
    byId('workers').textContent = report.workers;
    byId('engines').textContent = report.engines.join(', ');
    rows('filters', report.filters, f => [f.filter, f.engine, [whole(f.calls)], [whole(f.failures)], [whole(f.traps)],
      [whole(f.deadlines)], [time(mean(f.time))], [whole(f.instances)], [whole(f.contexts)], [bytes(f.memory)], [whole(f.restarts)]]);
    rows('metrics', report.metrics, m => [m.name, m.filter, m.type,
      [m.type === 'histogram' ? whole(m.count) + ' values, mean ' + short(mean(m)) : whole(m.value)]]);
    rows('zones', report.shared_memory, z => [z.zone, z.kind, [bar(z), bytes(z.used)], [bytes(z.size)]]);
    const span = before ? report.time - before.time : 0;
    if (span > 0) charts(report, span);
    if (!before || span > 0) before = report;
  };

  const poll = async () => {
    const live = byId('live');
    live.hidden = false;
    try {
      const answer = await fetch('?format=json', { cache: 'no-store' });
      if (!answer.ok) throw new Error('status ' + answer.status);
      show(await answer.json());
      live.textContent = 'live';
      live.className = '';
      document.body.dataset.polls = ++polls;
    } catch (error) {
      live.textContent = 'no answer: ' + error.message;
      live.className = 'lost';
    }
  };
  const again = async () => {
    if (!document.hidden) await poll();
    setTimeout(again, before && polls === 1 ? EVERY / 4 : EVERY);
  };
  again();
})();
