use super::*;

#[test]
fn a_plot_follows_the_theme_and_scales() {
    let series = |mark, color| Series {
        name: "a".into(),
        color,
        mark,
        points: vec![(0.0, 1.0), (1.0, 10.0), (2.0, f64::NAN), (3.0, 0.0)],
    };
    for log_y in [false, true] {
        let svg = draw(&Plot {
            x: "x".into(),
            y: "y".into(),
            log_y,
            size: (400, 300),
            series: vec![
                series(Mark::Dots, 1),
                series(Mark::Points, 2),
                series(Mark::Level, 0),
            ],
        })
        .unwrap();
        assert!(svg.contains("var(--c1)") && svg.contains("var(--ink)"));
        assert!(!svg.contains("#0102"), "a stand-in was left");
        assert!(svg.contains("class=\"plot\"") && svg.contains("viewBox"));
    }
}

#[test]
fn the_legend_stands_where_nothing_is() {
    let line = |points: Vec<(f64, f64)>| Series {
        name: "a".into(),
        color: 1,
        mark: Mark::Line,
        points,
    };
    let corner = |series: Vec<Series>| {
        let plot = Plot {
            x: String::new(),
            y: String::new(),
            log_y: false,
            size: (400, 300),
            series,
        };
        emptiest(&plot, |(x, y)| [x, y])
    };
    let is = |found: SeriesLabelPosition, wanted: SeriesLabelPosition| {
        format!("{found:?}") == format!("{wanted:?}")
    };
    let falling = line(vec![(0.0, 1.0), (1.0, 0.0)]);
    let rising = line(vec![(0.0, 0.0), (1.0, 1.0)]);
    let top = line(vec![(0.0, 1.0), (1.0, 1.0)]);
    let left = line(vec![(0.0, 0.0), (0.0, 1.0)]);
    use SeriesLabelPosition::{LowerRight, UpperLeft, UpperRight};
    assert!(is(corner(vec![falling]), UpperRight));
    assert!(is(corner(vec![rising]), UpperLeft));
    assert!(is(corner(vec![top, left]), LowerRight));
}

#[test]
fn a_plot_of_its_own_defines_its_colours() {
    let svg = draw_alone(&Plot {
        x: "x".into(),
        y: "y".into(),
        log_y: false,
        size: (400, 300),
        series: vec![Series {
            name: "a".into(),
            color: 1,
            mark: Mark::Dots,
            points: vec![(0.0, 1.0), (1.0, 2.0)],
        }],
    })
    .unwrap();
    for used in svg.split("var(").skip(1) {
        let name = used.split(')').next().unwrap();
        assert!(svg.contains(&format!("{name}:#")), "{name}");
    }
}

#[test]
fn clouds_are_one_path_and_lose_no_place() {
    let points: Vec<(f64, f64)> = (0..3000)
        .map(|k| (f64::from(k % 50), f64::from(k % 40)))
        .collect();
    let svg = draw(&Plot {
        x: "x".into(),
        y: "y".into(),
        log_y: false,
        size: (400, 400),
        series: vec![Series {
            name: String::new(),
            color: 2,
            mark: Mark::Points,
            points,
        }],
    })
    .unwrap();
    // 200 places, each once, in the colour of the series.
    assert_eq!(svg.matches("h0").count(), 200);
    assert!(!svg.contains("<circle"));
    assert!(svg.contains("stroke=\"var(--c2)\" stroke-width=\"4\""));
}

#[test]
fn nothing_to_draw_is_no_picture() {
    let plot = Plot {
        x: String::new(),
        y: String::new(),
        log_y: true,
        size: (100, 100),
        series: vec![],
    };
    assert!(draw(&plot).is_none());
}
