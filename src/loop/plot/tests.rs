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
            ..Plot::default()
        })
        .unwrap();
        assert!(svg.contains("var(--c1)") && svg.contains("var(--ink)"));
        assert!(!svg.contains("#0102"), "a stand-in was left");
        assert!(svg.contains("class=\"plot\"") && svg.contains("viewBox"));
    }
}

#[test]
fn the_legend_stands_above_the_axes() {
    let named = |name: &str| Series {
        name: name.into(),
        color: 1,
        mark: Mark::Line,
        points: vec![(0.0, 0.0), (1.0, 1.0)],
    };
    let svg = draw(&Plot {
        size: (400, 300),
        series: [
            "a long name of a first series",
            "another long name here",
            "c",
        ]
        .map(named)
        .to_vec(),
        ..Plot::default()
    })
    .unwrap();
    let number = |text: &str| -> f64 { text.split('"').next().unwrap().parse().unwrap() };
    let lowest = svg
        .split("<rect")
        .skip(1)
        .map(|r| number(r.split(" y=\"").nth(1).unwrap()));
    let lines = svg
        .split("<polyline")
        .skip(1)
        .filter(|l| l.contains("--c1"));
    let points = lines.flat_map(|l| {
        l.split("points=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .split_whitespace()
    });
    let highest = points
        .map(|p| p.split(',').nth(1).unwrap().parse().unwrap())
        .fold(f64::MAX, f64::min);
    assert!(lowest.fold(0.0, f64::max) + 4.0 < highest, "{svg}");
}

#[test]
fn a_density_shades_where_most_points_are() {
    let mut points = vec![(0.0, 0.0); 1000];
    points.push((1.0, 1.0));
    let plot = Plot {
        size: (400, 300),
        series: vec![Series {
            name: String::new(),
            color: 0,
            mark: Mark::Density,
            points,
        }],
        ..Plot::default()
    };
    let svg = draw(&plot).unwrap();
    let cells: Vec<&str> = svg.split("<rect").skip(1).collect();
    assert_eq!(cells.len(), 2);
    assert_eq!(
        cells.iter().filter(|c| c.contains("opacity=\"1\"")).count(),
        1
    );
    assert_eq!(csv(&plot).lines().count(), 1002);
}

#[test]
fn a_plot_of_its_own_defines_its_colours() {
    let svg = draw_alone(&Plot {
        x: "x".into(),
        y: "y".into(),
        size: (400, 300),
        series: vec![Series {
            name: "a".into(),
            color: 1,
            mark: Mark::Dots,
            points: vec![(0.0, 1.0), (1.0, 2.0)],
        }],
        ..Plot::default()
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
        size: (400, 400),
        series: vec![Series {
            name: String::new(),
            color: 2,
            mark: Mark::Points,
            points,
        }],
        ..Plot::default()
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
        ..Plot::default()
    };
    assert!(draw(&plot).is_none());
}
