//! Bars as SVG: a group of them for each row, one in it for each series.

use std::fmt::Write;

/// One colour, and what it stands for.
pub struct Series {
    pub name: String,
    pub colour: &'static str,
}

impl Series {
    /// That of an engine.
    pub fn of_engine(name: &str) -> Self {
        let colour = match name {
            "wasmtime" => "#3b6fb6",
            "wasmer" => "#4a9a72",
            "wasmi" => "#d08a3e",
            _ => "#888888",
        };
        Self { name: name.to_owned(), colour }
    }
}

/// A bar. On a scale of powers, its value is above 0.
pub struct Bar {
    pub value: f64,
    /// What stands beside it.
    pub text: String,
}

/// A group of bars, in the order of the series; `None` where there is nothing to show.
pub struct Row {
    pub label: String,
    pub bars: Vec<Option<Bar>>,
}

/// How values become lengths.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// From 0.
    Linear,
    /// By powers of ten, for what differs by more than ten times.
    Powers,
}

/// A picture.
pub struct Plot {
    pub title: String,
    pub scale: Scale,
    pub series: Vec<Series>,
    pub rows: Vec<Row>,
}

const LEFT: f64 = 270.0;
const WIDTH: f64 = 480.0;
const RIGHT: f64 = 160.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 26.0;
const BAR: f64 = 16.0;
const GAP: f64 = 12.0;

/// Where the axis begins and ends, in values or in their logarithms, and the values with a mark.
struct Axis {
    scale: Scale,
    from: f64,
    to: f64,
    marks: Vec<f64>,
}

impl Axis {
    fn of(plot: &Plot) -> Self {
        let values = || plot.rows.iter().flat_map(|row| row.bars.iter().flatten()).map(|bar| bar.value);
        let most = values().fold(0.0, f64::max);
        match plot.scale {
            Scale::Linear => {
                let step = step(most);
                let count = (most / step).ceil().max(1.0);
                let marks = (0..=count as u32).map(|mark| f64::from(mark) * step).collect();
                Self { scale: plot.scale, from: 0.0, to: count * step, marks }
            }
            Scale::Powers => {
                let least = values().filter(|value| *value > 0.0).fold(most.max(1.0), f64::min);
                let from = least.log10().floor();
                let to = most.max(least).log10().ceil().max(from + 1.0);
                let marks = (from as i32..=to as i32).map(|power| 10f64.powi(power)).collect();
                Self { scale: plot.scale, from, to, marks }
            }
        }
    }

    /// Pixels from its left end.
    fn length(&self, value: f64) -> f64 {
        let at = if self.scale == Scale::Powers { value.log10() } else { value };
        let part = (at - self.from) / (self.to - self.from);
        if part.is_finite() { part.clamp(0.0, 1.0) * WIDTH } else { 0.0 }
    }
}

/// A round number of which at most ten make `most`.
fn step(most: f64) -> f64 {
    if most <= 0.0 || !most.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf((most / 10.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    // A hair more: 1.0 in tenths are ten steps, whatever floating point says.
    steps.into_iter().find(|step| most / step <= 10.0 + 1e-9).unwrap_or(most)
}

impl Plot {
    /// The picture as SVG.
    pub fn svg(&self) -> String {
        let axis = Axis::of(self);
        let group = BAR * self.series.len() as f64 + GAP;
        let bottom = TOP + group * self.rows.len() as f64;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"10\" y=\"22\" font-size=\"15\">{}</text>\n",
            LEFT + WIDTH + RIGHT,
            bottom + BOTTOM,
            escaped(&self.title)
        );
        self.legend(&mut svg);
        for mark in &axis.marks {
            let x = LEFT + axis.length(*mark);
            line(&mut svg, format!("<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#ddd\"/>"));
            line(&mut svg, text(x, bottom + 16.0, "middle", "#666", &short(*mark)));
        }
        for (index, row) in self.rows.iter().enumerate() {
            self.row(&mut svg, &axis, TOP + group * index as f64, row);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn legend(&self, svg: &mut String) {
        let mut x = LEFT;
        for series in &self.series {
            line(svg, format!("<rect x=\"{x}\" y=\"36\" width=\"12\" height=\"12\" fill=\"{}\"/>", series.colour));
            line(svg, text(x + 18.0, 47.0, "start", "black", &series.name));
            x += 46.0 + 7.5 * series.name.chars().count() as f64;
        }
    }

    fn row(&self, svg: &mut String, axis: &Axis, top: f64, row: &Row) {
        let middle = top + (GAP + BAR * self.series.len() as f64) / 2.0;
        line(svg, text(LEFT - 8.0, middle + 4.0, "end", "black", &row.label));
        for (index, (series, bar)) in self.series.iter().zip(&row.bars).enumerate() {
            let Some(bar) = bar else { continue };
            let (y, width) = (top + GAP / 2.0 + BAR * index as f64, axis.length(bar.value).max(1.0));
            line(
                svg,
                format!(
                    "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" fill=\"{}\"/>",
                    BAR - 2.0,
                    series.colour
                ),
            );
            line(svg, text(LEFT + width + 6.0, y + 12.0, "start", "black", &bar.text));
        }
    }
}

fn line(svg: &mut String, text: String) {
    svg.push_str(&text);
    svg.push('\n');
}

fn text(x: f64, y: f64, anchor: &str, fill: &str, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{fill}\">{}</text>", escaped(text))
}

/// A mark of the axis, without the digits that floating point adds.
fn short(value: f64) -> String {
    let mut text = String::new();
    let _ = write!(text, "{:.6}", value);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(scale: Scale, values: &[f64]) -> Plot {
        let bar =
            |value: &f64| Row { label: "a < b".into(), bars: vec![Some(Bar { value: *value, text: "it".into() })] };
        Plot {
            title: "T & U".into(),
            scale,
            series: vec![Series::of_engine("wasmi")],
            rows: values.iter().map(bar).collect(),
        }
    }

    #[test]
    fn a_linear_axis_has_round_marks_and_room_for_all() {
        for (most, last, count) in [(0.97, 1.0, 11), (1.0, 1.0, 11), (43.0, 45.0, 10), (0.0, 1.0, 2)] {
            let axis = Axis::of(&plot(Scale::Linear, &[most]));
            assert!((axis.to - last).abs() < 1e-9, "{most}: {}", axis.to);
            assert_eq!(axis.marks.len(), count, "{most}");
        }
    }

    #[test]
    fn powers_of_ten_around_what_is_shown() {
        let axis = Axis::of(&plot(Scale::Powers, &[2.0, 4500.0]));
        assert_eq!(axis.marks, [1.0, 10.0, 100.0, 1000.0, 10_000.0]);
        assert_eq!(axis.length(100.0), WIDTH / 2.0);
        assert_eq!(axis.length(0.0), 0.0);
        assert_eq!(Axis::of(&plot(Scale::Powers, &[])).marks, [1.0, 10.0]);
    }

    #[test]
    fn texts_are_escaped_and_bars_have_the_colour_of_their_engine() {
        let svg = plot(Scale::Linear, &[0.5]).svg();
        assert!(svg.contains(">T &amp; U<") && svg.contains(">a &lt; b<"), "{svg}");
        assert!(svg.contains("width=\"480.0\" height=\"14\" fill=\"#d08a3e\""), "{svg}");
        let colours = ["wasmtime", "wasmer", "wasmi"].map(|engine| Series::of_engine(engine).colour);
        assert!(colours[0] != colours[1] && colours[1] != colours[2] && colours[0] != colours[2]);
    }

    #[test]
    fn marks_are_short() {
        assert_eq!([0.1, 0.30000000000000004, 1.0, 1000.0, 0.0].map(short), ["0.1", "0.3", "1", "1000", "0"]);
    }
}
