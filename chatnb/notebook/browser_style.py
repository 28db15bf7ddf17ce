"""How the browser looks: JupyterLab's own colours, so that it follows the theme; two panes, or one below 760 px."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """<style>
.chatnb-browser {
  --cn-text: var(--jp-ui-font-color1, var(--vscode-foreground, #222));
  --cn-dim: var(--jp-ui-font-color2, var(--vscode-descriptionForeground, #666));
  --cn-line: var(--jp-border-color2, var(--vscode-panel-border, #ccc));
  --cn-page: var(--jp-layout-color1, var(--vscode-editor-background, #fff));
  --cn-soft: var(--jp-layout-color2, var(--vscode-sideBar-background, #eee));
  --cn-brand: var(--jp-brand-color1, var(--vscode-focusBorder, #1976d2));
  --cn-error: var(--jp-error-color1, var(--vscode-errorForeground, #c62828));
  container: chatnb / inline-size;
  color: var(--cn-text); overflow: visible; gap: 6px; margin: 0; padding: 2px 0 0 4px;
}
.chatnb-browser .widget-html, .chatnb-browser .widget-html-content { margin: 0; height: auto; line-height: 1.45; }
.chatnb-browser .widget-box { overflow: visible; margin: 0; }
.chatnb-browser .widget-html-content { width: 100%; min-width: 0; }
.chatnb-browser .chatnb-style { display: none; }
.chatnb-browser button:focus-visible, .chatnb-browser summary:focus-visible, .chatnb-browser a:focus-visible {
  outline: 2px solid var(--cn-brand) !important; outline-offset: 1px;
}
.chatnb-browser .chatnb-bar { flex-flow: row wrap; gap: 4px; align-items: center; }
.chatnb-browser .chatnb-bar > * { margin: 0; }
.chatnb-browser .chatnb-bar .jupyter-button { width: auto; padding: 0 10px; }
.chatnb-browser .chatnb-bar .widget-dropdown { width: auto; flex: 0 1 auto; min-width: 90px; max-width: 170px; }
.chatnb-browser .chatnb-bar .widget-text { width: auto; flex: 1 1 200px; min-width: 140px; }
.chatnb-browser .chatnb-bar .widget-datepicker { width: 150px; }
.chatnb-browser .chatnb-bar .widget-html { width: auto; flex: 0 1 auto; }
.chatnb-browser .chatnb-status { min-height: 28px; margin: -2px 0; }
.chatnb-browser .chatnb-pager { flex-flow: row nowrap; gap: 4px; }
.chatnb-browser .chatnb-pager .widget-checkbox { width: auto; flex: none; margin-right: 6px; padding-left: 7px; }
.chatnb-browser .chatnb-selection > .widget-box { flex: 1 1 100%; gap: 4px; }
[data-jp-theme-light="false"] .chatnb-browser { color-scheme: dark; }
.chatnb-browser .widget-dropdown > select { appearance: auto; background-image: none; padding-right: 2px; }
.chatnb-browser .chatnb-said { color: var(--cn-dim); overflow-wrap: anywhere; }
.chatnb-browser .chatnb-said.chatnb-error { color: var(--cn-error); font-weight: 600; }

.chatnb-browser .chatnb-panes { display: flex; flex-flow: row nowrap; gap: 12px; align-items: stretch; }
.chatnb-browser .chatnb-list { flex: 0 0 36%; min-width: 250px; max-width: 400px; gap: 4px; }
.chatnb-browser .chatnb-reader { flex: 1 1 0; min-width: 0; gap: 4px; border-left: 1px solid var(--cn-line);
  padding-left: 12px; }
.chatnb-browser .chatnb-rows { gap: 0; border: 1px solid var(--cn-line); max-height: 640px; overflow: auto; }
.chatnb-browser .chatnb-line { align-items: center; border-bottom: 1px solid var(--cn-line); flex: none; }
.chatnb-browser .chatnb-line:last-child { border-bottom: 0; }
.chatnb-browser .chatnb-line .widget-checkbox { width: 26px; flex: none; margin: 0; padding-left: 6px; }
.chatnb-browser .chatnb-row {
  flex: 1 1 0; min-width: 0; width: auto; height: auto; margin: 0; padding: 5px 8px; background: transparent;
  color: var(--cn-dim); text-align: left; white-space: pre; line-height: 1.4; font-size: 12px;
  text-overflow: ellipsis; overflow: hidden; border: 0; border-left: 3px solid transparent; box-shadow: none;
}
.chatnb-browser .chatnb-row::first-line { font-weight: 600; font-size: 13px; color: var(--cn-text); }
.chatnb-browser .chatnb-row:hover { background: var(--cn-soft); box-shadow: none; }
.chatnb-browser .chatnb-row.chatnb-current { background: var(--cn-soft); border-left-color: var(--cn-brand);
  color: var(--cn-text); }
.chatnb-browser .chatnb-row:focus-visible { outline-offset: -2px; }
.chatnb-browser .chatnb-nothing { padding: 16px; color: var(--cn-dim); }

.chatnb-browser .chatnb-title { font-size: 17px; font-weight: 600; overflow-wrap: anywhere; }
.chatnb-browser .chatnb-badge { font-size: 11px; font-weight: 600; color: var(--cn-error);
  border: 1px solid currentColor; border-radius: 8px; padding: 0 6px; vertical-align: middle; }
.chatnb-browser .chatnb-facts { color: var(--cn-dim); overflow-wrap: anywhere; }
.chatnb-browser .chatnb-tag { display: inline-block; background: var(--cn-soft); border-radius: 8px; padding: 0 8px;
  margin: 2px 4px 2px 0; font-size: 12px; overflow-wrap: anywhere; }
.chatnb-browser .chatnb-go { overflow: visible; }
.chatnb-browser .chatnb-go .jp-OutputArea-child, .chatnb-browser .chatnb-go .jp-OutputArea-output { padding: 0;
  margin: 0; }
.chatnb-browser .chatnb-go .jp-OutputPrompt, .chatnb-browser .chatnb-go .jp-OutputArea-promptOverlay {
  display: none; }
.chatnb-browser .chatnb-resume { font: inherit; height: 28px; padding: 0 14px; margin: 0 6px 0 0; cursor: pointer;
  border: 0; background: var(--cn-brand); color: var(--jp-ui-inverse-font-color0, #fff); }
.chatnb-browser .chatnb-go code { background: none; color: var(--cn-dim); overflow-wrap: anywhere; }

.chatnb-browser .chatnb-transcript { max-height: 600px; overflow: auto; flex-flow: column-reverse nowrap;
  border-top: 1px solid var(--cn-line);
  padding: 4px 6px 0 0; gap: 0; }
.chatnb-browser .chatnb-transcript > * { flex: none; }
.chatnb-browser .chatnb-fork { align-self: flex-end; width: auto; height: 22px; line-height: 20px; padding: 0 8px;
  margin: 8px 0 -30px; font-size: 11px; background: transparent; border: 1px solid var(--cn-line);
  color: var(--cn-dim); z-index: 1; }
.chatnb-browser .chatnb-message { padding: 8px 0 6px; }
.chatnb-browser .chatnb-head { padding-right: 60px; min-height: 22px; font-size: 12px; color: var(--cn-dim); }
.chatnb-browser .chatnb-head b { color: var(--cn-text); margin-right: 8px; }
.chatnb-browser .chatnb-user .chatnb-head b { color: var(--cn-brand); }
.chatnb-browser .chatnb-body { overflow-x: auto; overflow-wrap: anywhere; padding: 2px 0 2px 10px; margin-top: 2px;
  border-left: 3px solid var(--cn-line); font-size: 13px; }
.chatnb-browser .chatnb-user .chatnb-body { border-left-color: var(--cn-brand); }
.chatnb-browser .chatnb-body > :first-child { margin-top: 0; }
.chatnb-browser .chatnb-body > :last-child { margin-bottom: 0; }
.chatnb-browser .chatnb-body p, .chatnb-browser .chatnb-body ul, .chatnb-browser .chatnb-body ol {
  margin-bottom: 0.6em; }
.chatnb-browser .chatnb-body img { max-width: 100%; max-height: 420px; }
.chatnb-browser .chatnb-body pre { white-space: pre-wrap; background: var(--cn-soft); padding: 6px 8px; margin: 4px 0;
  max-height: 320px; overflow: auto; }
.chatnb-browser .chatnb-body pre code { background: none; padding: 0; }
.chatnb-browser .chatnb-body table { margin: 4px 0; }
.chatnb-browser .chatnb-body details { margin: 2px 0; }
.chatnb-browser .chatnb-body summary { cursor: pointer; color: var(--cn-dim); padding: 1px 0; }

@container chatnb (max-width: 760px) {
  .chatnb-browser .chatnb-panes { flex-flow: column nowrap; }
  .chatnb-browser .chatnb-list { flex: none; max-width: none; width: 100%; }
  .chatnb-browser .chatnb-reader { flex: none; width: 100%; border-left: 0; padding-left: 0; }
  .chatnb-browser .chatnb-rows { max-height: 290px; }
}
</style>"""
