'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const $ = (id) => document.getElementById(id);
  const canvas = $('picture'), pen = canvas.getContext('2d');
  const P = data.people, L = data.links, C = data.communities, B = data.bridges, KINDS = data.kinds;
  const COUNT = P.id.length, STEP = 6, SEEDS = P.seed.filter(Boolean).length;
  const DASH = [[], [7, 3], [2, 3], [9, 3, 2, 3], [12, 4], [1, 4]];

  const state = {
    kinds: KINDS.map((kind) => kind.shown), from: data.days[0], to: data.days[1], lonely: false,
    expanded: new Set(data.summarised ? [] : C.keys()), focus: null, selected: null, hover: null, path: null,
  };
  const view = { x: 0, y: 0, scale: 1, width: 1, height: 1 };
  const members = C.map(() => []);
  P.community.forEach((community, person) => members[community].push(person));

  // ---- Days and words

  const day = (number) => number === null ? 'not known' : new Date(number * 864e5).toISOString().slice(0, 10);
  const count = (number, one, many) => `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
  const nameOf = (node) => node.person !== undefined ? P.id[node.person] : `Community ${node.community + 1}`;

  // ---- The scene: what is visible under the filters, and where it stands

  let scene = { nodes: [], links: [], near: [], byPerson: new Int32Array(0), byCommunity: new Int32Array(0) };

  // An expanded community of a summarised network pushes the others outwards.
  const displaced = () => {
    const places = C.map((community) => [community.x, community.y]);
    if (!data.summarised) return places;
    for (const open of state.expanded) {
      const [x, y] = places[open], reach = C[open].reach;
      places.forEach((place, other) => {
        if (other === open) return;
        const dx = place[0] - x, dy = place[1] - y, distance = Math.hypot(dx, dy) || 1e-3;
        place[0] += dx / distance * reach;
        place[1] += dy / distance * reach;
      });
    }
    return places;
  };

  const inTime = (first, last) => (last === null || last >= state.from) && (first === null || first <= state.to);

  const build = () => {
    const places = displaced(), nodes = [];
    const byPerson = new Int32Array(COUNT).fill(-1), byCommunity = new Int32Array(C.length).fill(-1);
    C.forEach((community, number) => {
      const [x, y] = places[number];
      if (!state.expanded.has(number)) {
        byCommunity[number] = nodes.length;
        nodes.push({ community: number, x, y, radius: community.radius, weight: 1e6 + community.members });
        for (const person of members[number]) byPerson[person] = byCommunity[number];
        return;
      }
      for (const person of members[number]) {
        byPerson[person] = nodes.length;
        nodes.push({
          person, community: number, x: x + P.x[person], y: y + P.y[person],
          radius: 0.16 + 0.06 * Math.sqrt(P.degree[person]),
          weight: P.rank[person] + (P.offences[person] ? 50 : 0) + (P.seed[person] ? 100 : 0),
        });
      }
    });
    const sums = new Map();
    const add = (one, other, kind, shared) => {
      const low = Math.min(one, other), high = Math.max(one, other);
      const key = (low * nodes.length + high) * KINDS.length + kind;
      const known = sums.get(key);
      if (known) known.shared += shared; else sums.set(key, { one: low, other: high, kind, shared });
    };
    for (let at = 0; at < L.length; at += STEP) {
      if (!state.kinds[L[at + 2]] || !inTime(L[at + 4], L[at + 5])) continue;
      const one = byPerson[L[at]], other = byPerson[L[at + 1]];
      const inside = nodes[one].person === undefined && nodes[other].person === undefined;
      if (one !== other && !inside) add(one, other, L[at + 2], L[at + 3]);
    }
    for (let at = 0; at < B.length; at += STEP) {
      const one = byCommunity[B[at]], other = byCommunity[B[at + 1]];
      if (one < 0 || other < 0 || !state.kinds[B[at + 2]] || !inTime(B[at + 4], B[at + 5])) continue;
      add(one, other, B[at + 2], B[at + 3]);
    }
    let links = [...sums.values()];
    const near = nodes.map(() => []);
    for (const link of links) { near[link.one].push(link); near[link.other].push(link); }
    const other = (link, node) => link.one === node ? link.other : link.one;
    let kept = nodes.map((node, at) => state.lonely || near[at].length > 0 || node.person === undefined
      || P.seed[node.person] || same(node, state.selected));
    if (state.focus) {
      const centre = find(state.focus, byPerson, byCommunity, nodes);
      if (centre >= 0) {
        const close = new Set([centre, ...near[centre].map((link) => other(link, centre))]);
        kept = kept.map((_, at) => close.has(at));
      }
    }
    nodes.forEach((node, at) => { node.kept = kept[at]; node.at = at; });
    links = links.filter((link) => kept[link.one] && kept[link.other]);
    const lanes = new Map();
    for (const link of links) {
      const key = link.one * nodes.length + link.other;
      if (!lanes.has(key)) lanes.set(key, []);
      lanes.get(key).push(link);
    }
    for (const lane of lanes.values()) lane.forEach((link, at) => { link.lane = at - (lane.length - 1) / 2; });
    scene = { nodes, links, near, byPerson, byCommunity };
    const people = nodes.filter((node) => node.kept && node.person !== undefined).length;
    const groups = nodes.filter((node) => node.kept && node.person === undefined).length;
    const shown = [];
    if (people) shown.push(count(people, 'traveller', 'travellers'));
    if (groups) shown.push(count(groups, 'community', 'communities'));
    shown.push(count(links.length, 'link', 'links'));
    $('shown').textContent = `Shown: ${shown.join(', ')}`;
    draw();
  };

  const same = (node, key) => key !== null && (key.person !== undefined
    ? node.person === key.person : node.person === undefined && node.community === key.community);
  const keyOf = (node) => node.person !== undefined ? { person: node.person } : { community: node.community };
  const find = (key, byPerson = scene.byPerson, byCommunity = scene.byCommunity, nodes = scene.nodes) => {
    if (key === null) return -1;
    if (key.person === undefined) return byCommunity[key.community];
    const at = byPerson[key.person];
    return at >= 0 && nodes[at].person === key.person ? at : -1;
  };

  // ---- Drawing

  let colours = {};
  const readColours = () => {
    const style = getComputedStyle(document.documentElement);
    for (const name of ['paper', 'ink', 'soft', 'rule', 'panel', 'bad', 'on']) colours[name] = style.getPropertyValue(`--${name}`).trim();
    colours.kinds = KINDS.map((_, kind) => style.getPropertyValue(`--k${kind}`).trim());
  };
  const toX = (x) => (x - view.x) * view.scale + view.width / 2;
  const toY = (y) => (y - view.y) * view.scale + view.height / 2;
  // In pixels; a community has a size by its members from afar, too.
  const radius = (node) => node.person === undefined
    ? Math.max(4 + 2 * Math.log1p(C[node.community].members), Math.min(node.radius * view.scale, 60))
    : Math.max(2.5, Math.min(node.radius * view.scale, 18));

  let asked = false;
  const draw = () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; paint(); });
  };

  const paint = () => {
    const ratio = window.devicePixelRatio || 1;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, view.width, view.height);
    const { nodes, links } = scene;
    const selected = find(state.selected), hover = find(state.hover), lit = selected >= 0 ? selected : hover;
    const onPath = new Set(state.path || []);
    const isLit = (link) => link.one === lit || link.other === lit;
    const faint = links.length > 4000 ? 0.16 : links.length > 1200 ? 0.3 : 0.55;
    pen.lineCap = 'round';
    for (const pass of [false, true]) {
      for (let kind = 0; kind < KINDS.length; kind++) {
        pen.strokeStyle = colours.kinds[kind];
        pen.setLineDash(DASH[kind % DASH.length]);
        for (const link of links) {
          if (link.kind !== kind || (lit >= 0 && isLit(link)) !== pass) continue;
          line(nodes[link.one], nodes[link.other], link.lane);
          pen.globalAlpha = pass ? 0.95 : lit >= 0 ? faint * 0.5 : faint;
          pen.lineWidth = Math.min(1 + Math.log2(link.shared), 6) * (pass ? 1.5 : 1);
          pen.stroke();
        }
      }
    }
    pen.setLineDash([]);
    if (state.path) {
      pen.globalAlpha = 1;
      pen.strokeStyle = colours.ink;
      pen.lineWidth = 4;
      pen.beginPath();
      state.path.forEach((at, step) => {
        const node = nodes[at];
        if (step) pen.lineTo(toX(node.x), toY(node.y)); else pen.moveTo(toX(node.x), toY(node.y));
      });
      pen.stroke();
    }
    const neighbours = new Set(lit >= 0 ? scene.near[lit].flatMap((link) => [link.one, link.other]) : []);
    for (const node of nodes) {
      if (!node.kept || !onScreen(node)) continue;
      pen.globalAlpha = lit >= 0 && !neighbours.has(node.at) && node.at !== lit && !onPath.has(node.at) ? 0.45 : 1;
      dot(node, node.at === selected, node.at === hover);
    }
    pen.globalAlpha = 1;
    label(lit, neighbours, onPath);
  };

  const onScreen = (node) => {
    const x = toX(node.x), y = toY(node.y), edge = radius(node) + 4;
    return x > -edge && y > -edge && x < view.width + edge && y < view.height + edge;
  };

  const line = (one, other, lane) => {
    const x1 = toX(one.x), y1 = toY(one.y), x2 = toX(other.x), y2 = toY(other.y);
    const length = Math.hypot(x2 - x1, y2 - y1) || 1, shift = lane * Math.min(3.5, 0.06 * view.scale);
    const dx = -(y2 - y1) / length * shift, dy = (x2 - x1) / length * shift;
    pen.beginPath();
    pen.moveTo(x1 + dx, y1 + dy);
    pen.lineTo(x2 + dx, y2 + dy);
  };

  // An offender is a square, a seed has a ring, a community its number of members.
  const dot = (node, isSelected, isHovered) => {
    const x = toX(node.x), y = toY(node.y), size = radius(node);
    const person = node.person, group = person === undefined;
    const bad = group ? C[node.community].offenders > 0 : P.offences[person] > 0;
    pen.beginPath();
    if (!group && bad) pen.rect(x - size, y - size, 2 * size, 2 * size); else pen.arc(x, y, size, 0, 7);
    pen.fillStyle = group ? colours.panel : bad ? colours.bad : hue(node.community);
    pen.fill();
    pen.lineWidth = isSelected || isHovered ? 3 : group ? 2 : 1;
    pen.strokeStyle = isSelected || isHovered ? colours.ink : group ? (bad ? colours.bad : hue(node.community)) : colours.paper;
    pen.stroke();
    if (!group && P.seed[person]) {
      pen.beginPath();
      pen.arc(x, y, size + 4, 0, 7);
      pen.lineWidth = 2.5;
      pen.strokeStyle = colours.ink;
      pen.stroke();
    }
    if (group && size >= 9) {
      pen.fillStyle = colours.ink;
      pen.font = `${size > 16 ? 13 : 10}px system-ui, sans-serif`;
      pen.textAlign = 'center';
      pen.textBaseline = 'middle';
      pen.fillText(short(C[node.community].members), x, y);
    }
  };
  const short = (number) => number < 1000 ? `${number}` : number < 1e6 ? `${Math.round(number / 1000)}k` : `${Math.round(number / 1e6)}M`;
  const dark = window.matchMedia('(prefers-color-scheme: dark)');
  // No reds, which are the known offenders'.
  const hue = (community) => `hsl(${30 + (community * 137.5 + 170) % 290} ${dark.matches ? '45% 62%' : '45% 45%'})`;

  // Names where they cover neither a vertex nor another name; those of the selection always.
  const label = (lit, neighbours, onPath) => {
    const taken = new Set(), { nodes } = scene;
    const cells = (left, top, right, bottom) => {
      const found = [];
      for (let column = Math.floor(left / 12); column <= Math.floor(right / 12); column++) {
        for (let row = Math.floor(top / 8); row <= Math.floor(bottom / 8); row++) found.push(column * 100003 + row);
      }
      return found;
    };
    const isNamedSeed = (node) => node.person !== undefined && P.seed[node.person] && SEEDS <= 20;
    const important = (node) => node.at === lit ? 3 : onPath.has(node.at) || isNamedSeed(node) ? 2 : neighbours.has(node.at) ? 1 : 0;
    const isMarked = (node) => node.person !== undefined && (P.seed[node.person] || P.offences[node.person] > 0);
    const wanted = [];
    for (const node of nodes) {
      if (!node.kept || !onScreen(node)) continue;
      const x = toX(node.x), y = toY(node.y), size = radius(node);
      for (const cell of cells(x - size + 2, y - size + 2, x + size - 2, y + size - 2)) taken.add(cell);
      if (important(node) > 0 || size > (isMarked(node) ? 4 : node.person === undefined ? 14 : 7)) wanted.push(node);
    }
    wanted.sort((a, b) => important(b) - important(a) || b.weight - a.weight);
    pen.font = '12px system-ui, sans-serif';
    pen.textAlign = 'left';
    pen.textBaseline = 'middle';
    for (const node of wanted.slice(0, 150)) {
      const text = node.person !== undefined ? P.id[node.person].slice(0, 8) : nameOf(node);
      const x = toX(node.x) + radius(node) + 5, y = toY(node.y), width = pen.measureText(text).width;
      const own = cells(x + 2, y - 6, x + width, y + 6);
      if (important(node) < 2 && own.some((cell) => taken.has(cell))) continue;
      own.forEach((cell) => taken.add(cell));
      pen.lineWidth = 3;
      pen.strokeStyle = colours.paper;
      pen.strokeText(text, x, y);
      pen.fillStyle = colours.ink;
      pen.fillText(text, x, y);
    }
  };

  // ---- Where one looks

  const fit = () => {
    const shown = scene.nodes.filter((node) => node.kept);
    if (!shown.length) return;
    const bound = (pick, of) => shown.reduce((found, node) => pick(found, of(node)), of(shown[0]));
    const left = bound(Math.min, (node) => node.x - node.radius), right = bound(Math.max, (node) => node.x + node.radius);
    const top = bound(Math.min, (node) => node.y - node.radius), bottom = bound(Math.max, (node) => node.y + node.radius);
    view.x = (left + right) / 2;
    view.y = (top + bottom) / 2;
    view.scale = Math.max(0.5, Math.min(120, 0.92 * Math.min(view.width / Math.max(right - left, 1), view.height / Math.max(bottom - top, 1))));
    draw();
  };
  const zoom = (factor, x = view.width / 2, y = view.height / 2) => {
    const before = [(x - view.width / 2) / view.scale, (y - view.height / 2) / view.scale];
    view.scale = Math.max(0.2, Math.min(400, view.scale * factor));
    view.x += before[0] - (x - view.width / 2) / view.scale;
    view.y += before[1] - (y - view.height / 2) / view.scale;
    draw();
  };
  const look = (at) => {
    const node = scene.nodes[at];
    if (!node) return;
    view.x = node.x;
    view.y = node.y;
    view.scale = Math.max(view.scale, 28);
    draw();
  };

  // ---- Selecting

  const under = (x, y) => {
    let best = -1, least = Infinity;
    for (const node of scene.nodes) {
      if (!node.kept) continue;
      const distance = Math.hypot(toX(node.x) - x, toY(node.y) - y) - radius(node);
      if (distance < 6 && distance < least) { best = node.at; least = distance; }
    }
    return best;
  };

  const select = (key, centre = false) => {
    if (key && key.person !== undefined && !state.expanded.has(P.community[key.person])) state.expanded.add(P.community[key.person]);
    state.selected = key;
    state.path = null;
    if (key && state.focus && find(key) < 0) state.focus = null;
    build();
    if (key && centre) look(find(key));
    details();
  };
  const toggle = (community) => {
    const open = !state.expanded.has(community);
    if (open) state.expanded.add(community); else state.expanded.delete(community);
    select(open && members[community].length ? { person: members[community][0] } : { community }, true);
  };
  const focus = () => {
    state.focus = state.focus ? null : state.selected;
    state.path = null;
    build();
    fit();
    details();
  };

  // The shortest way over the visible links, by a search in breadth.
  const toOffender = () => {
    const start = find(state.selected);
    if (start < 0) return;
    const { nodes, near } = scene, before = new Map([[start, -1]]), queue = [start];
    let end = -1;
    for (const at of queue) {
      const node = nodes[at];
      if (at !== start && (node.person !== undefined ? P.offences[node.person] > 0 : C[node.community].offenders > 0)) { end = at; break; }
      for (const link of near[at]) {
        const next = link.one === at ? link.other : link.one;
        if (!before.has(next) && nodes[next].kept) { before.set(next, at); queue.push(next); }
      }
    }
    const path = [];
    for (let at = end; at >= 0; at = before.get(at)) path.unshift(at);
    state.path = path.length > 1 ? path : null;
    draw();
    details(path.length > 1 ? `${count(path.length - 1, 'step', 'steps')}: ${path.map((at) => nameOf(nodes[at])).join(' → ')}`
      : 'No known offender can be reached over the visible links.');
  };

  const element = (name, text, set = {}) => {
    const made = Object.assign(document.createElement(name), set);
    made.textContent = text;
    return made;
  };
  const details = (note = '') => {
    const box = $('details'), at = find(state.selected);
    box.replaceChildren();
    if (at < 0) {
      box.append(element('p', 'Nothing is selected. Click a traveller or a community, or search.', { className: 'soft' }));
      return;
    }
    const node = scene.nodes[at], list = document.createElement('dl'), row = element('div', '', { className: 'row' });
    const fact = (name, value) => list.append(element('dt', name), element('dd', value));
    const button = (text, act) => { const made = element('button', text, { type: 'button' }); made.addEventListener('click', act); row.append(made); };
    box.append(element('h3', nameOf(node)));
    if (node.person !== undefined) {
      const person = node.person;
      fact('Flights', `${P.trips[person]}, ${day(P.first[person])} to ${day(P.last[person])}`);
      fact('Offences', P.offences[person] ? `${P.offences[person]} found` : 'none known');
      fact('Linked with', count(P.degree[person], 'traveller', 'travellers'));
      fact('PageRank', `${P.rank[person]} times the mean`);
      fact('Betweenness', P.between[person].toLocaleString('en'));
      fact('Nearest offender', P.steps[person] === null ? 'none can be reached' : P.steps[person] === 0 ? 'is one' : count(P.steps[person], 'step', 'steps'));
      if (P.hop[person] !== null) fact('From the seed', P.hop[person] === 0 ? 'is a seed' : count(P.hop[person], 'step', 'steps'));
      fact('Community', `${node.community + 1}, ${count(C[node.community].members, 'member', 'members')}`);
      button('Collapse its community', () => toggle(node.community));
    } else {
      const community = C[node.community];
      fact('Members', community.members.toLocaleString('en'));
      fact('Offenders', community.offenders.toLocaleString('en'));
      fact('Flights', community.trips.toLocaleString('en'));
      if (members[node.community].length < community.members) fact('Expands to', `its ${members[node.community].length} most central members`);
      if (members[node.community].length) button('Expand', () => toggle(node.community));
    }
    button(state.focus ? 'Show all again' : 'Show only its neighbours', focus);
    button('Path to a known offender', toOffender);
    const kinds = new Map();
    for (const link of scene.near[at]) kinds.set(link.kind, (kinds.get(link.kind) || 0) + 1);
    for (const [kind, number] of [...kinds].sort((a, b) => a[0] - b[0])) fact(KINDS[kind].words, count(number, 'link', 'links'));
    box.append(list, row);
    if (note) box.append(element('p', note));
    $('said').textContent = `${nameOf(node)} selected. ${note}`;
  };

  // ---- Pointer and keys

  const pointers = new Map();
  let moved = 0, pinch = 0;
  const local = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  canvas.addEventListener('pointerdown', (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, local(event));
    if (pointers.size === 1) moved = 0;
    if (pointers.size === 2) pinch = spread();
  });
  const spread = () => { const [a, b] = [...pointers.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
  canvas.addEventListener('pointermove', (event) => {
    const [x, y] = local(event), before = pointers.get(event.pointerId);
    if (!before) { hover(x, y); return; }
    pointers.set(event.pointerId, [x, y]);
    if (pointers.size === 2) {
      const now = spread();
      if (pinch > 0) zoom(now / pinch, x, y);
      pinch = now;
      moved = 99;
      return;
    }
    moved += Math.hypot(x - before[0], y - before[1]);
    if (moved < 4) return;
    view.x -= (x - before[0]) / view.scale;
    view.y -= (y - before[1]) / view.scale;
    draw();
  });
  const release = (event) => {
    if (!pointers.delete(event.pointerId) || event.type !== 'pointerup' || moved >= 4) return;
    const at = under(...local(event));
    select(at < 0 ? null : keyOf(scene.nodes[at]));
  };
  canvas.addEventListener('pointerup', release);
  canvas.addEventListener('pointercancel', release);
  canvas.addEventListener('pointerleave', () => { state.hover = null; $('tip').hidden = true; draw(); });
  canvas.addEventListener('dblclick', (event) => {
    const at = under(...local(event));
    if (at < 0) return;
    const node = scene.nodes[at];
    if (node.person === undefined) toggle(node.community); else { state.selected = keyOf(node); focus(); }
  });
  canvas.addEventListener('wheel', (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY * 0.0015), ...local(event)); }, { passive: false });
  const hover = (x, y) => {
    const at = under(x, y), tip = $('tip'), key = at < 0 ? null : keyOf(scene.nodes[at]);
    canvas.style.cursor = at < 0 ? 'grab' : 'pointer';
    tip.hidden = at < 0;
    if (at >= 0) {
      const node = scene.nodes[at];
      tip.textContent = node.person !== undefined
        ? `${P.id[node.person]}: ${count(P.trips[node.person], 'flight', 'flights')}${P.offences[node.person] ? ', known offender' : ''}`
        : `${nameOf(node)}: ${count(C[node.community].members, 'member', 'members')}, ${count(C[node.community].offenders, 'offender', 'offenders')}`;
      tip.style.left = `${Math.min(x + 14, view.width - 200)}px`;
      tip.style.top = `${Math.min(y + 14, view.height - 40)}px`;
    }
    if (JSON.stringify(key) !== JSON.stringify(state.hover)) { state.hover = key; draw(); }
  };

  const step = (by) => {
    const order = scene.nodes.filter((node) => node.kept).sort((a, b) => b.weight - a.weight);
    if (!order.length) return;
    const at = order.findIndex((node) => node.at === find(state.selected));
    select(keyOf(order[(at + by + order.length) % order.length]), true);
  };
  const act = {
    ArrowLeft: () => { view.x -= 60 / view.scale; draw(); }, ArrowRight: () => { view.x += 60 / view.scale; draw(); },
    ArrowUp: () => { view.y -= 60 / view.scale; draw(); }, ArrowDown: () => { view.y += 60 / view.scale; draw(); },
    '+': () => zoom(1.3), '=': () => zoom(1.3), '-': () => zoom(1 / 1.3), 0: fit, n: () => step(1), p: () => step(-1),
    Enter: () => {
      const at = find(state.selected);
      if (at >= 0) toggle(scene.nodes[at].community);
    },
    f: () => { if (state.selected) focus(); }, o: toOffender,
    Escape: () => { state.focus = null; select(null); },
    '?': () => { $('keys').hidden = !$('keys').hidden; },
  };
  canvas.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(act, event.key)) return;
    event.preventDefault();
    act[event.key]();
  });
  document.addEventListener('keydown', (event) => {
    if (event.key === '/' && document.activeElement !== $('search')) { event.preventDefault(); $('search').focus(); }
  });

  // ---- The panel

  $('search').addEventListener('input', () => {
    const text = $('search').value.trim().toLowerCase(), list = $('found');
    list.replaceChildren();
    if (!text) return;
    const hits = [];
    for (let person = 0; person < COUNT && hits.length < 12; person++) {
      if (P.id[person].toLowerCase().includes(text)) hits.push([P.id[person], { person }]);
    }
    C.forEach((_, community) => {
      const name = `Community ${community + 1}`;
      if (hits.length < 15 && name.toLowerCase() === text) hits.push([name, { community }]);
    });
    for (const [name, key] of hits) {
      const item = document.createElement('li'), button = element('button', name, { type: 'button' });
      button.addEventListener('click', () => { if (key.community !== undefined) state.expanded.delete(key.community); select(key, true); canvas.focus(); });
      item.append(button);
      list.append(item);
    }
    if (!hits.length) list.append(element('li', 'Nobody shown here has such an identifier.', { className: 'soft' }));
  });
  $('search').addEventListener('keydown', (event) => {
    if (event.key === 'Enter') $('found').querySelector('button')?.click();
    if (event.key === 'Escape') canvas.focus();
  });
  KINDS.forEach((kind, number) => {
    const box = $(`kind-${kind.name}`);
    box.checked = state.kinds[number];
    box.addEventListener('change', () => { state.kinds[number] = box.checked; state.path = null; build(); details(); });
  });
  const time = () => {
    const [low, high] = [Number($('from').value), Number($('to').value)];
    [state.from, state.to] = [Math.min(low, high), Math.max(low, high)];
    $('days').textContent = `${day(state.from)} to ${day(state.to)}`;
    state.path = null;
    build();
    details();
  };
  for (const id of ['from', 'to']) {
    Object.assign($(id), { min: data.days[0], max: data.days[1], value: data.days[id === 'from' ? 0 : 1] });
    $(id).addEventListener('input', time);
  }
  $('lonely').addEventListener('change', () => { state.lonely = $('lonely').checked; build(); });
  $('zoom-in').addEventListener('click', () => zoom(1.4));
  $('zoom-out').addEventListener('click', () => zoom(1 / 1.4));
  $('fit').addEventListener('click', fit);
  $('help').addEventListener('click', act['?']);
  const ids = new Map(P.id.map((id, person) => [id, person]));
  for (const button of document.querySelectorAll('button[data-person]')) {
    const person = ids.get(button.dataset.person);
    button.addEventListener('click', () => { if (person !== undefined) { select({ person }, true); canvas.scrollIntoView(); canvas.focus(); } });
    button.disabled = person === undefined;
  }

  const size = () => {
    const box = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1, first = view.width === 1;
    [view.width, view.height] = [box.width, box.height];
    [canvas.width, canvas.height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
    if (first) fit();
    paint();
  };
  dark.addEventListener('change', () => { readColours(); draw(); });
  readColours();
  time();
  new ResizeObserver(size).observe(canvas);
})();
