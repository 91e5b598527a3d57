//! What all pages have in common: head, looks, tables, escaping. Everything of the world that gets into a page goes through [`escape`].

/// Colours are those of the reader's system, light or dark; on a phone columns become one and wide tables scroll.
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--line:#d8dee4;--paper:#fff;--good:#1a7f37;--bad:#c62828;\
--c0:#0b6bcb;--c1:#b8500a;--c2:#1a7f37;--c3:#8250df;--c4:#b3246b;--c5:#4d5d00}\
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa4af;--line:#30363d;--paper:#0d1117;--good:#56d364;--bad:#ff7b72;\
--c0:#58a6ff;--c1:#f0883e;--c2:#56d364;--c3:#bc8cff;--c4:#ff7bb5;--c5:#c9d15b}}\
body{font:15px/1.5 sans-serif;max-width:76em;margin:1.5em auto;padding:0 1em;color:var(--ink);background:var(--paper)}\
table{border-collapse:collapse}td,th{padding:.15em .7em;border-bottom:1px solid var(--line);text-align:right}\
td:first-child,th:first-child{text-align:left}.wide{overflow-x:auto}.config :is(th,td){text-align:left;overflow-wrap:anywhere}\
.matrix td,.matrix thead th{padding:.15em .4em;text-align:center;min-width:1.6em}.matrix th{font-weight:400;white-space:nowrap}\
.matrix .hit{background:color-mix(in srgb,var(--good) calc(var(--share)*1%),var(--paper))}\
.matrix .miss{background:color-mix(in srgb,var(--bad) calc(var(--share)*1%),var(--paper))}\
article{display:flex;flex-wrap:wrap;gap:1em;border-top:1px solid var(--line);padding:1em 0}article>div{flex:1;min-width:min(100%,20em)}\
article p,pre{overflow-wrap:anywhere}pre{white-space:pre-wrap;font:13px/1.5 monospace;margin:.3em 0 1em}\
.wrong b{color:var(--bad)}article svg{flex:none;max-width:100%}small,.legend{color:var(--soft)}\
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,22em),1fr));gap:1em 2em}\
figure{margin:0}figcaption{font-weight:600}figure svg{width:100%;height:auto;display:block}\
figure text{font-size:11px;fill:var(--soft)}figure line{stroke:var(--line)}figure circle{fill:var(--c)}\
polyline{fill:none;stroke:var(--c);stroke-linejoin:round}.raw{opacity:.35}.smooth{stroke-width:2}\
.legend{margin:0;font-size:13px}.legend span{margin-right:1em;white-space:nowrap}.legend i{color:var(--c);font-style:normal}\
.c0{--c:var(--c0)}.c1{--c:var(--c1)}.c2{--c:var(--c2)}.c3{--c:var(--c3)}.c4{--c:var(--c4)}.c5{--c:var(--c5)}";

/// A whole page. The policy keeps a browser from asking anybody for anything, whatever `body` holds.
pub fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <meta http-equiv=Content-Security-Policy content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\
         <title>{}</title><style>{STYLE}</style>{body}</html>\n",
        escape(title)
    )
}

/// A table with a head; what is in the cells of `rows` is HTML already.
pub fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head = head.join("<th>");
    let row = |cells: Vec<String>| format!("<tr><td>{}", cells.join("<td>"));
    let rows: String = rows.map(row).collect();
    format!("<div class=wide><table><tr><th>{head}{rows}</table></div>")
}

/// Text as such, in content and between double quotes.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A number with four digits that count.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e6).contains(&size) {
        return format!("{value:.2e}");
    }
    let behind = (3 - size.log10().floor() as i32).max(0) as usize;
    let text = format!("{value:.behind$}");
    if behind == 0 {
        return text;
    }
    let short = text.trim_end_matches('0').trim_end_matches('.');
    short.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (-0.25, "-0.25"),
            (2.345_678, "2.346"),
            (123.456, "123.5"),
            (56_789.4, "56789"),
            (100.0, "100"),
            (0.000_012_3, "1.23e-5"),
            (2.5e9, "2.50e9"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }
}
