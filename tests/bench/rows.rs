//! The messages of the benchmark and of the ceilings, as canonical JSON. Always the same ones: nothing here is random.

use serde_json::{Map, Value, json};

/// One kind of content.
pub struct Row {
    /// As the tables and the ceilings call it.
    pub name: &'static str,
    /// The full name of its messages' type.
    pub message: &'static str,
    /// One text per message.
    pub texts: Vec<String>,
}

// === impl Row ===

impl Row {
    fn one(name: &'static str, message: &'static str, content: &Value) -> Row {
        Row { name, message, texts: vec![content.to_string()] }
    }
}

/// The row with a message of some 1 KiB that holds a bit of everything.
pub fn order_row() -> Row {
    Row::one("order", "bench.v1.Order", &order(1))
}

/// 100 KiB in one message: 106 orders.
pub fn list_row() -> Row {
    Row::one("list", "bench.v1.OrderBatch", &json!({"orders": (0..106).map(order).collect::<Vec<_>>()}))
}

/// 1,000 messages of some 80 bytes.
pub fn small_row() -> Row {
    let text = |i: i64| {
        let value = 20.0 + (i % 200) as f64 / 16.0;
        json!({
            "sensor": format!("hall-{}", 1 + i % 12), "atMillis": (1_773_480_000_000 + 250 * i).to_string(),
            "value": whole(value), "alarm": true,
        })
        .to_string()
    };
    Row { name: "small", message: "bench.v1.Reading", texts: (0..1000).map(text).collect() }
}

/// Mostly text: long and short, plain, with escapes, and beyond ASCII.
pub fn strings_row() -> Row {
    let plain = "The harbour lay quiet in the early light, and nobody had yet come down to the boats that morning. ";
    let escaped = "\"Well,\" she said,\n\t\"you may keep the C:\\maps directory; the rest goes back.\"\n";
    let wide = "Der Schlüssel paßt nicht – 鍵は机の上にあります。 Où est-il donc passé ? ";
    let paragraph = |i: usize| match i % 5 {
        0 => escaped.repeat(3),
        1 => wide.repeat(4),
        _ => plain.repeat(2 + i % 4),
    };
    let content = json!({
        "title": "Of Keys and Harbours", "author": "Zoë Example", "subtitle": "",
        "paragraphs": (0..40).map(paragraph).collect::<Vec<_>>(),
        "keywords": (0..120).map(|i| format!("keyword-{i}")).collect::<Vec<_>>(),
        "isbn": "978-3-16-148410-0", "cover": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB".repeat(16),
    });
    Row::one("strings", "bench.v1.Article", &content)
}

/// Mostly numbers, of all kinds and lengths.
pub fn numbers_row() -> Row {
    let mix = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (i << 17);
    let fraction = |i: u64| mix(i) as f64 / u64::MAX as f64;
    let value = |i: u64| match i % 4 {
        0 => fraction(i) * 1000.0,
        1 => (fraction(i) * 10_000.0).round() / 100.0,
        2 => (i * 10) as f64,
        _ => fraction(i) * 1e-9,
    };
    let vertex = |i: u64| json!({"x": fraction(i), "y": (i % 90) as f64 + 0.25, "z": -1.5 - i as f64});
    let content = json!({
        "values": (0..240).map(value).map(whole).collect::<Vec<_>>(),
        "counts": (0..240).map(|i| (mix(i) >> (33 + i % 28)) as i32).collect::<Vec<_>>(),
        "ids": (0..160).map(|i| (mix(i) as i64).to_string()).collect::<Vec<_>>(),
        "deltas": (0..240).map(|i| (mix(i) >> 52) as i32 - 2048).collect::<Vec<_>>(),
        "temperatures": (0..120).map(|i| -10.0 + (i % 64) as f64 / 2.0).map(whole).collect::<Vec<_>>(),
        "hashes": (0..80).map(|i| mix(i).to_string()).collect::<Vec<_>>(),
        "ports": (0..120).map(|i| mix(i) as u16).collect::<Vec<_>>(),
        "flags": (0..80).map(|i| mix(i) % 3 == 0).collect::<Vec<_>>(),
        "vertices": (1..60).map(vertex).collect::<Vec<_>>(),
    });
    Row::one("numbers", "bench.v1.Samples", &content)
}

/// Mostly maps: large ones, and many small ones.
pub fn maps_row() -> Row {
    let map = |count: u64, entry: &dyn Fn(u64) -> (String, Value)| (0..count).map(entry).collect::<Map<_, _>>();
    let labels = |i: u64| {
        json!({
            "app.kubernetes.io/name": format!("service-{i}"), "app.kubernetes.io/part-of": "shop",
            "topology.kubernetes.io/zone": format!("eu-west-{}", 1 + i % 3), "tier": "backend", "release": "stable",
        })
    };
    let host = |i: u64| json!({"name": format!("node-{i}.example.net"), "labels": labels(i)});
    let content = json!({
        "annotations": map(100, &|i| (format!("example.net/annotation-{i}"), format!("value {i}").into())),
        "names": map(80, &|i| (((i as i64 - 40) * 1001).to_string(), format!("name {i}").into())),
        "quotas": map(80, &|i| (format!("quota_{i}"), (i * 12_345_678_901).to_string().into())),
        "weights": map(40, &|i| ((i << 33).to_string(), (0.5 + i as f64).into())),
        "hosts": map(24, &|i| (format!("host-{i}"), host(i))),
        "votes": {"false": 12, "true": 30},
    });
    Row::one("maps", "bench.v1.Inventory", &content)
}

/// A double as canonical JSON writes it: without a fraction if it has none.
fn whole(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { (value as i64).into() } else { value.into() }
}

fn line_item(i: u32) -> Value {
    let names = ["Folding camp chair, steel, green", "Insulated bottle, 750 ml", "Headlamp 400 lm – USB-C"];
    json!({
        "sku": format!("SKU-{}", 10_000 + 37 * i), "description": names[i as usize % 3], "quantity": 1 + i % 4,
        "unitPrice": {"currency": "CURRENCY_EUR", "units": (19 + 13 * (i % 7)).to_string(), "nanos": 950_000_000},
        "weightKg": 0.35 + 0.125 * f64::from(i % 5), "tags": ["outdoor", "summer"],
    })
}

fn order(i: u32) -> Value {
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
