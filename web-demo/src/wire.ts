// Bodies as they were on the wire, for people to read.

const LIMIT = 1536;
const utf8 = new TextDecoder();

export interface Body {
  text: string;
  isText: boolean;
  /** The frames in it, one line each, where the protocol has frames. */
  frames: string[];
}

export function describeBody(bytes: Uint8Array, contentType: string): Body {
  const type = contentType.split(";")[0]?.trim() ?? "";
  const isText = /json|^text\/|^application\/grpc-web-text/.test(type) && !type.startsWith("application/connect+");
  const shown = bytes.subarray(0, LIMIT);
  const more = bytes.length > LIMIT ? `\n… ${bytes.length - LIMIT} bytes more` : "";
  const text = (isText ? utf8.decode(shown) : hex(shown)) + more;
  if (type.startsWith("application/grpc-web-text")) return { text, isText, frames: frames(fromBase64(utf8.decode(bytes)), 0x80) };
  if (type.startsWith("application/grpc-web")) return { text, isText, frames: frames(bytes, 0x80) };
  if (type.startsWith("application/connect+")) return { text, isText, frames: frames(bytes, 0x02) };
  return { text, isText, frames: [] };
}

function hex(bytes: Uint8Array): string {
  const rows: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const digits = row.map((b) => b.toString(16).padStart(2, "0")).join(" ");
    const chars = row.map((b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : "·")).join("");
    rows.push(`${at.toString(16).padStart(4, "0")}  ${digits.padEnd(47)}  ${chars}`);
  }
  return rows.join("\n");
}

/** Base64 that may be padded in the middle: a text stream is a row of padded pieces. */
function fromBase64(text: string): Uint8Array {
  try {
    const pieces = text.match(/[^=]+=*/g) ?? [];
    const binary = pieces.map((p) => atob(p)).join("");
    return Uint8Array.from(binary, (c) => c.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}

function frames(bytes: Uint8Array, lastFlag: number): string[] {
  const out: string[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 5 <= bytes.length; ) {
    const flags = view.getUint8(at);
    const length = view.getUint32(at + 1);
    const payload = bytes.subarray(at + 5, at + 5 + length);
    const kind = flags & lastFlag ? "end" : "message";
    const told = flags & lastFlag ? `  ${utf8.decode(payload.subarray(0, 160)).trim().replaceAll("\r\n", "  ")}` : "";
    out.push(`${flags.toString(16).padStart(2, "0")}  ${kind}  ${length} B${told}`);
    at += 5 + length;
  }
  return out;
}
