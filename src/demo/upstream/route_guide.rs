//! `routeguide.RouteGuide`, after the tutorial of gRPC's own examples.

use std::collections::HashMap;
use std::time::Instant;

use super::call::{Call, Outcome};
use super::features::FEATURES;
use super::messages::routeguide::{Feature, Point, Rectangle, RouteNote, RouteSummary};
use crate::status::{Code, Status};

/// Notes that one RouteChat remembers, and the length of one: a chat may go on for long.
const MOST_NOTES: usize = 1_000;
const LONGEST_NOTE: usize = 4_096;

pub(super) async fn get_feature(call: &mut Call) -> Outcome {
    let point: Point = call.only().await?;
    call.send(&Feature { name: name_at(point).unwrap_or_default().to_owned(), location: Some(point) }).await
}

pub(super) async fn list_features(call: &mut Call) -> Outcome {
    let rectangle: Rectangle = call.only().await?;
    call.open()?;
    for &(name, latitude, longitude) in FEATURES {
        let location = Point { latitude, longitude };
        if contains(&rectangle, location) {
            call.send(&Feature { name: name.to_owned(), location: Some(location) }).await?;
        }
    }
    Ok(())
}

pub(super) async fn record_route(call: &mut Call) -> Outcome {
    let start = Instant::now();
    let mut summary = RouteSummary::default();
    let mut metres = 0.0;
    let mut last: Option<Point> = None;
    while let Some(point) = call.receive::<Point>().await? {
        summary.point_count = summary.point_count.saturating_add(1);
        if name_at(point).is_some() {
            summary.feature_count = summary.feature_count.saturating_add(1);
        }
        metres += last.replace(point).map_or(0.0, |last| distance(last, point));
    }
    // `as` saturates: a route of more than 2^31 metres ends there
    summary.distance = metres as i32;
    summary.elapsed_time = i32::try_from(start.elapsed().as_secs()).unwrap_or(i32::MAX);
    call.send(&summary).await
}

/// Answers each note with all notes of this call at its place, the new one last.
pub(super) async fn route_chat(call: &mut Call) -> Outcome {
    let mut notes: HashMap<Point, Vec<RouteNote>> = HashMap::new();
    let mut kept = 0;
    call.open()?;
    while let Some(note) = call.receive::<RouteNote>().await? {
        if kept == MOST_NOTES || note.message.len() > LONGEST_NOTE {
            let text = format!("a chat takes {MOST_NOTES} notes of {LONGEST_NOTE} bytes");
            return Err(Status::new(Code::ResourceExhausted, text).into());
        }
        kept += 1;
        let here = notes.entry(note.location.unwrap_or_default()).or_default();
        here.push(note);
        for note in here.iter() {
            call.send(note).await?;
        }
    }
    Ok(())
}

fn name_at(point: Point) -> Option<&'static str> {
    let found =
        FEATURES.iter().find(|(_, latitude, longitude)| (*latitude, *longitude) == (point.latitude, point.longitude));
    found.map(|(name, ..)| *name)
}

fn contains(rectangle: &Rectangle, point: Point) -> bool {
    let (lo, hi) = (rectangle.lo.unwrap_or_default(), rectangle.hi.unwrap_or_default());
    let within = |value: i32, a: i32, b: i32| (a.min(b)..=a.max(b)).contains(&value);
    within(point.latitude, lo.latitude, hi.latitude) && within(point.longitude, lo.longitude, hi.longitude)
}

/// Metres between two points on a sphere of the earth's mean radius (haversine).
fn distance(from: Point, to: Point) -> f64 {
    let radians = |e7: i32| (f64::from(e7) / 1e7).to_radians();
    let (from_latitude, to_latitude) = (radians(from.latitude), radians(to.latitude));
    let half_latitude = (to_latitude - from_latitude) / 2.0;
    let half_longitude = (radians(to.longitude) - radians(from.longitude)) / 2.0;
    let chord = half_latitude.sin().powi(2) + from_latitude.cos() * to_latitude.cos() * half_longitude.sin().powi(2);
    2.0 * 6_371_000.0 * chord.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_degree_of_latitude_is_111_kilometres() {
        let from = Point { latitude: 400_000_000, longitude: -740_000_000 };
        let to = Point { latitude: 410_000_000, longitude: -740_000_000 };
        assert!((distance(from, to) - 111_195.0).abs() < 10.0);
        assert_eq!(distance(from, from), 0.0);
    }

    #[test]
    fn a_rectangle_may_be_given_by_any_two_opposite_corners() {
        let corner = |latitude, longitude| Some(Point { latitude, longitude });
        let inside = Point { latitude: 5, longitude: -5 };
        assert!(contains(&Rectangle { lo: corner(0, -10), hi: corner(10, 0) }, inside));
        assert!(contains(&Rectangle { lo: corner(10, 0), hi: corner(0, -10) }, inside));
        assert!(!contains(&Rectangle { lo: corner(0, -4), hi: corner(10, 0) }, inside));
        assert!(!contains(&Rectangle { lo: None, hi: None }, inside));
    }

    #[test]
    fn features_have_names_and_places_of_their_own() {
        assert!(FEATURES.len() >= 100);
        let mut places: Vec<_> = FEATURES.iter().map(|(_, latitude, longitude)| (latitude, longitude)).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), FEATURES.len());
        let whole = Rectangle {
            lo: Some(Point { latitude: 400_000_000, longitude: -750_000_000 }),
            hi: Some(Point { latitude: 420_000_000, longitude: -730_000_000 }),
        };
        for &(name, latitude, longitude) in FEATURES {
            assert!(!name.is_empty() && contains(&whole, Point { latitude, longitude }), "{name}");
        }
        assert!(name_at(Point { latitude: 409_146_138, longitude: -746_188_906 }).is_some());
    }
}
