//! Clouds of points in few words.

/// Points drawn one after the other in one colour and size become one path of dots, without those that
/// cover others exactly: clouds of thousands are a tenth of the text so.
pub(super) fn gathered(svg: &str) -> String {
    /// A cloud; fewer points stay as they are.
    const MANY: usize = 100;
    let mut text = String::with_capacity(svg.len());
    let mut run: Vec<(&str, Dot<'_>)> = Vec::new();
    let flush = |run: &mut Vec<(&str, Dot<'_>)>, text: &mut String| {
        let many = run.len() >= MANY;
        if let (true, Some((_, first))) = (many, run.first()) {
            text.push_str("<path d=\"");
            let mut seen = std::collections::HashSet::new();
            for (_, dot) in run.iter().filter(|(_, dot)| seen.insert(dot.at)) {
                text.push_str(&format!("M{} {}h0", dot.at.0, dot.at.1));
            }
            text.push_str(&format!(
                "\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linecap=\"round\"/>\n",
                first.fill,
                2 * first.radius
            ));
        } else {
            for (line, _) in &*run {
                text.push_str(line);
            }
        }
        run.clear();
    };
    for line in svg.split_inclusive('\n') {
        let dot = Dot::read(line);
        let ends = match (&dot, run.last()) {
            (Some(dot), Some((_, last))) => (dot.fill, dot.radius) != (last.fill, last.radius),
            _ => true,
        };
        if ends {
            flush(&mut run, &mut text);
        }
        match dot {
            Some(dot) => run.push((line, dot)),
            None => text.push_str(line),
        }
    }
    flush(&mut run, &mut text);
    text
}

/// A filled circle without a rim.
struct Dot<'a> {
    at: (i32, i32),
    radius: u32,
    fill: &'a str,
}

impl<'a> Dot<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let rest = line.strip_prefix("<circle ")?;
        let value = |name: &str| -> Option<&'a str> {
            let start = rest.find(&format!("{name}=\""))? + name.len() + 2;
            let end = start + rest[start..].find('"')?;
            rest.get(start..end)
        };
        let plain = value("opacity")? == "1" && value("stroke")? == "none";
        plain.then_some(())?;
        Some(Self {
            at: (value("cx")?.parse().ok()?, value("cy")?.parse().ok()?),
            radius: value("r")?.parse().ok()?,
            fill: value("fill")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_points_stay_as_they_are() {
        let few = "<circle cx=\"1\" cy=\"2\" r=\"3\" opacity=\"1\" fill=\"red\" stroke=\"none\"/>\n<path/>\n";
        assert_eq!(gathered(few), few);
    }
}
