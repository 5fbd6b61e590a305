//! How fast, on the benchmark's 1 KB order and on 106 of them:
//! `cargo test --profile quick --test transcode speed -- --ignored --nocapture`. MB/s count JSON bytes in both directions,
//! and wire bytes of the guard.

use std::hint::black_box;
use std::time::{Duration, Instant};

use prost_reflect::DescriptorPool;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use serde_json::{Value, json};
use transom::catalog::Schema;
use transom::transcode::{GuardOptions, PrintOptions, ReadOptions, guard, json_to_wire, wire_to_json};

struct InMemory;

impl FileResolver for InMemory {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            "order.proto" => File::from_source(name, include_str!("../bench/order.proto")),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}

fn schema() -> Schema {
    let mut resolver = ChainFileResolver::new();
    resolver.add(InMemory);
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file("order.proto").expect("compiles");
    let pool = DescriptorPool::from_file_descriptor_set(compiler.file_descriptor_set()).expect("a valid set");
    Schema::build(&pool).expect("builds")
}

fn line_item(i: u32) -> Value {
    let names = ["Folding camp chair, steel, green", "Insulated bottle, 750 ml", "Headlamp 400 lm – USB-C"];
    json!({
        "sku": format!("SKU-{}", 10_000 + 37 * i), "description": names[i as usize % 3], "quantity": 1 + i % 4,
        "unitPrice": {"currency": "CURRENCY_EUR", "units": (19 + 13 * (i % 7)).to_string(), "nanos": 950_000_000},
        "weightKg": 0.35 + 0.125 * f64::from(i % 5), "tags": ["outdoor", "summer"],
    })
}

pub(super) fn order(i: u32) -> Value {
    json!({
        "orderId": format!("ord_{:012}", 7_000_000 + i), "customerId": (9_007_199_254_740_993u64 + u64::from(i)).to_string(),
        "status": "ORDER_STATUS_PAID", "createTime": "2026-03-14T09:26:53.589793Z", "updateTime": "2026-03-14T10:00:00Z",
        "shippingAddress": {
            "recipient": "Zoë Example", "street": "12 \"Old\" Harbour Road", "city": "Rotterdam",
            "postalCode": "3011 AA", "countryCode": "NL", "latitude": 51.9225 + f64::from(i) / 1000.0, "longitude": 4.47917,
        },
        "lineItems": [line_item(i), line_item(i + 1)], "labels": {"channel": "web", "campaign": "spring-26"},
        "total": {"currency": "CURRENCY_EUR", "units": (120 + i).to_string(), "nanos": 490_000_000},
        "discountRate": 0.075, "gift": true, "note": "Leave at the door.\nRing twice.",
    })
}

/// The best of nine rounds, in nanoseconds of processor time per run: the machine may be busy with other things.
pub(super) fn time(mut run: impl FnMut()) -> f64 {
    let (mut count, start) = (0u32, Instant::now());
    while start.elapsed() < Duration::from_millis(60) {
        run();
        count += 1;
    }
    let rounds = (0..9).map(|_| {
        let (wall, processor) = (Instant::now(), processor_time());
        (0..count).for_each(|_| run());
        let spent = match (processor, processor_time()) {
            (Some(before), Some(after)) => (after - before) as f64,
            _ => wall.elapsed().as_nanos() as f64,
        };
        spent / f64::from(count)
    });
    rounds.min_by(f64::total_cmp).expect("nine rounds")
}

/// Nanoseconds that this thread has spent on a processor (Linux only).
fn processor_time() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

#[test]
#[ignore = "a measurement, for optimised builds"]
fn speed() {
    let schema = schema();
    let batch = json!({"orders": (0..106).map(order).collect::<Vec<_>>()});
    for (name, json) in [("bench.v1.Order", order(1)), ("bench.v1.OrderBatch", batch)] {
        let id = schema.find(name).expect(name);
        let text = json.to_string().into_bytes();
        let (read, print) = (ReadOptions::default(), PrintOptions::default());
        let (mut wire, mut out) = (Vec::new(), Vec::new());
        json_to_wire(&schema, id, &text, &read, &mut wire).expect("reads");
        wire_to_json(&schema, id, &wire, &print, &mut out).expect("prints");
        assert_eq!(serde_json::from_slice::<Value>(&out).expect("JSON"), json, "the same once more");
        let megabytes = |nanos: f64| text.len() as f64 * 1000.0 / nanos;
        // As in the server: a new output for each message.
        let reading = time(|| {
            let mut wire = Vec::new();
            json_to_wire(&schema, id, black_box(&text), &read, &mut wire).expect("reads");
            black_box(wire);
        });
        let printing = time(|| {
            let mut out = Vec::new();
            wire_to_json(&schema, id, black_box(&wire), &print, &mut out).expect("prints");
            black_box(out);
        });
        let options =
            GuardOptions { max_repeated: 1000, max_string: 1 << 16, max_bytes: 1 << 16, ..GuardOptions::default() };
        let guarding = time(|| {
            black_box(guard(&schema, id, black_box(&wire), &options)).expect("in order");
        });
        println!("{name}: guard {guarding:.0} ns, {:.0} MB/s of wire", wire.len() as f64 * 1000.0 / guarding);
        println!(
            "{name}: {} B JSON, {} B wire: JSON->wire {reading:.0} ns {:.0} MB/s, wire->JSON {printing:.0} ns {:.0} MB/s",
            text.len(),
            wire.len(),
            megabytes(reading),
            megabytes(printing)
        );
    }
}
