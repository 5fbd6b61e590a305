// Messages and methods out of the descriptor set: no generated code.
import {
  create,
  createFileRegistry,
  fromBinary,
  toJson,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  type Message,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { anyUnpack, FileDescriptorSetSchema, type Any } from "@bufbuild/protobuf/wkt";
import { DESCRIPTOR_SET } from "./descriptors";

export const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, base64Decode(DESCRIPTOR_SET)));

export function service(name: string): DescService {
  const found = registry.getService(name);
  if (!found) throw new Error(`no service ${name} in the descriptor set`);
  return found;
}

export function unary(s: DescService, name: string): DescMethodUnary {
  const found = s.methods.find((m) => m.name === name);
  if (found?.methodKind !== "unary") throw new Error(`no unary method ${s.typeName}/${name}`);
  return found as DescMethodUnary;
}

export function serverStreaming(s: DescService, name: string): DescMethodServerStreaming {
  const found = s.methods.find((m) => m.name === name);
  if (found?.methodKind !== "server_streaming") throw new Error(`no server-streaming method ${s.typeName}/${name}`);
  return found as DescMethodServerStreaming;
}

export function build(schema: DescMessage, fields: MessageInitShape<DescMessage>): Message {
  return create(schema, fields);
}

export function json(schema: DescMessage, message: Message): unknown {
  return toJson(schema, message, { registry });
}

const STATUS_NAMES = [
  "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
  "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
];

export function statusName(code: number): string {
  return STATUS_NAMES[code] ?? `CODE_${code}`;
}

export interface Detail {
  "@type": string;
  [field: string]: unknown;
}

const TYPE_URL = "type.googleapis.com/";

/** A google.rpc detail as JSON, from its type name and bytes. */
export function detail(type: string, value: Uint8Array): Detail {
  const schema = registry.getMessage(type);
  if (!schema) return { "@type": TYPE_URL + type, undecoded: `${value.length} bytes` };
  const fields = json(schema, fromBinary(schema, value)) as Record<string, unknown>;
  return { "@type": TYPE_URL + type, ...fields };
}

/** What the trailer grpc-status-details-bin holds: a google.rpc.Status. */
export function detailsOfTrailer(text: string): Detail[] {
  const schema = registry.getMessage("google.rpc.Status");
  if (!schema) return [];
  const status = fromBinary(schema, base64Decode(text)) as unknown as { details: Any[] };
  return status.details.map((any) => {
    const message = anyUnpack(any, registry);
    const schema = message && registry.getMessage(message.$typeName);
    if (!message || !schema) return { "@type": any.typeUrl, undecoded: `${any.value.length} bytes` };
    return { "@type": TYPE_URL + message.$typeName, ...(json(schema, message) as Record<string, unknown>) };
  });
}
