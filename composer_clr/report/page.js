'use strict';
(() => {
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const narrow = matchMedia('(max-width: 760px)');
  const figures = JSON.parse(document.getElementById('figures').textContent);
  const config = () => ({displaylogo: false, responsive: true, displayModeBar: !narrow.matches,
                         modeBarButtons: [['toImage', 'zoom2d', 'pan2d', 'resetScale2d']]});
  const chosen = {};  // by figure: the axis that is shown, its scale, and whether it has intervals

  const css = name => getComputedStyle(root).getPropertyValue(name).trim();
  const isDark = () => dark.matches && !root.classList.contains('light');

  // The lines of a figure against the axis that is chosen, in colours that can be seen on the paper; after them the
  // areas of forecasts, which come and go with their lines.
  const traces = figure => {
    const lines = figure.axes[chosen[figure.id].axis].lines;
    const colours = figure.looks.map(look => isDark() ? look.dark : look.colour);
    const drawn = lines.map((line, i) => ({
      type: 'scatter', mode: 'lines+markers', name: figure.looks[i].name, legendgroup: String(i),
      x: line.x, y: line.y, hovertext: line.said, hoverinfo: 'text', hoverlabel: {align: 'left'}, cliponaxis: false,
      line: {color: colours[i], dash: figure.looks[i].dash, width: 2},
      marker: {size: 8, maxdisplayed: 40, symbol: figure.looks[i].symbol, line: {color: colours[i], width: 1.8},
               color: figure.looks[i].filled ? colours[i] : css('--paper')},
      error_y: {type: 'data', symmetric: false, array: line.above, arrayminus: line.below, color: colours[i],
                thickness: 1.2, width: 3,
                visible: chosen[figure.id].intervals === 'shown' && line.above.some(one => one !== null)},
    }));
    const areas = lines.flatMap((line, i) => line.forecast ? [{
      type: 'scatter', mode: 'lines', legendgroup: String(i), showlegend: false, name: line.forecast.said,
      x: line.forecast.x, y: line.forecast.y, fill: 'toself', fillcolor: 'rgba(0,0,0,0)', hoveron: 'fills',
      hoverinfo: 'text', text: line.forecast.said, line: {color: colours[i], width: 1, dash: 'dot'},
      fillpattern: {shape: '/', fgcolor: colours[i], size: 7, solidity: 0.25},
    }] : []);
    return [...drawn, ...areas];
  };

  const layout = figure => {
    const {axis, scale} = chosen[figure.id];
    const shown = figure.axes[axis];
    const lines = {gridcolor: css('--line'), linecolor: css('--muted'), tickcolor: css('--muted'), ticks: 'outside',
                   zeroline: false, automargin: true};
    const ticks = scale === 'log' ? {tickmode: 'array', tickvals: shown.ticks, ticktext: shown.labels}
                                  : {tickmode: 'auto', nticks: narrow.matches ? 5 : 9};
    return {
      height: narrow.matches ? 380 + 21 * figure.looks.length : 520,
      margin: {l: 60, r: 16, t: 34, b: 50},
      paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
      font: {family: 'system-ui, sans-serif', size: 13, color: css('--ink')},
      hoverlabel: {bgcolor: css('--shade'), bordercolor: css('--line'), font: {color: css('--ink')}},
      modebar: {bgcolor: 'rgba(0,0,0,0)', color: css('--muted'), activecolor: css('--accent')},
      legend: narrow.matches
        ? {orientation: 'h', x: 0, y: -0.24, yanchor: 'top', tracegroupgap: 0,
           entrywidth: 1, entrywidthmode: 'fraction'}
        : {x: 1.02, y: 1, xanchor: 'left', tracegroupgap: 0},
      showlegend: true, dragmode: narrow.matches ? false : 'zoom', hovermode: 'closest',
      xaxis: {...lines, ...ticks, title: {text: shown.title}, type: scale, autorange: true},
      yaxis: {...lines, autorange: true},
      shapes: figure.zero === null ? [] : [{type: 'line', xref: 'paper', x0: 0, x1: 1, y0: figure.zero, y1: figure.zero,
                                            line: {color: css('--muted'), width: 1}, layer: 'below'}],
    };
  };

  const draw = figure => {
    const plot = document.getElementById(figure.id);
    // What a reader has hidden stays hidden.
    const data = traces(figure).map((trace, i) => ({...trace, visible: plot.data?.[i].visible ?? true}));
    return Plotly.react(plot, data, layout(figure), config());
  };
  const drawAll = () => figures.forEach(draw);

  const press = (figure, kind, value) => {
    chosen[figure.id][kind] = value;
    for (const button of document.querySelectorAll(`button[data-figure="${figure.id}"][data-${kind}]`)) {
      button.setAttribute('aria-pressed', String(button.dataset[kind] === value));
    }
  };
  for (const figure of figures) {
    chosen[figure.id] = {};
    press(figure, 'axis', Object.keys(figure.axes)[0]);
    press(figure, 'scale', 'log');
    press(figure, 'intervals', 'shown');
    draw(figure);
  }
  document.addEventListener('click', event => {
    const button = event.target.closest('button[data-figure]');
    if (!button) return;
    const figure = figures.find(one => one.id === button.dataset.figure);
    for (const kind of ['axis', 'scale', 'intervals']) {
      if (kind in button.dataset) press(figure, kind, button.dataset[kind]);
    }
    draw(figure);
  });

  dark.addEventListener('change', drawAll);
  narrow.addEventListener('change', drawAll);
  const opened = [];
  addEventListener('beforeprint', () => {
    root.classList.add('light');
    for (const one of document.querySelectorAll('details:not([open])')) {
      one.open = true;
      opened.push(one);
    }
    drawAll();
  });
  addEventListener('afterprint', () => {
    root.classList.remove('light');
    opened.splice(0).forEach(one => { one.open = false; });
    drawAll();
  });
})();
