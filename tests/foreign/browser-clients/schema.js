// The services that the page calls, from the descriptor set that run.mjs puts in at DESCRIPTOR_SET: no generated code,
// so every library is handed its methods and messages in the form that its own generator would have written.
import { create, createFileRegistry, fromBinary, ScalarType } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { MessageType } from "@protobuf-ts/runtime";
import { ServiceType } from "@protobuf-ts/runtime-rpc";

export const fromBase64 = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

export const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, fromBase64(DESCRIPTOR_SET)));

const service = (name) => registry.getService(name).method;

/** gRPC's interop service, behind the edge. */
export const Test = service("grpc.testing.TestService");
/** In the edge's catalog, and unknown to its upstream. */
export const Unimplemented = service("grpc.testing.UnimplementedService");
/** The demo's service of four stream kinds, which does what metadata asks for. */
export const Echo = service("grpc.examples.echo.Echo");
/** The demo's service whose errors carry details; some of its methods are free of side effects. */
export const Bookstore = service("bookstore.v1.Bookstore");
/** In the edge's catalog, and its upstream is not there. */
export const RouteGuide = service("routeguide.RouteGuide");
/** Not in the edge's catalog. */
export const Greeter = service("helloworld.Greeter");

export const pathOf = (method) => `/${method.parent.typeName}/${method.name}`;
export const messageOf = (schema, init) => create(schema, init);

/** The plain content of a `google.rpc` detail, by the short name of its type. */
export function detailsOf(statusBytes) {
  const status = fromBinary(registry.getMessage("google.rpc.Status"), statusBytes);
  const details = {};
  for (const any of status.details) {
    const name = any.typeUrl.split("/").pop();
    details[name.split(".").pop()] = fromBinary(registry.getMessage(name), any.value);
  }
  return { code: status.code, message: status.message, details };
}

// === protobuf-ts

const types = new Map();

/** What `protoc --ts_out` writes for a message. */
function typeOf(message) {
  let type = types.get(message.typeName);
  if (!type) {
    type = new MessageType(message.typeName, message.fields.map(fieldOf));
    types.set(message.typeName, type);
  }
  return type;
}

function fieldOf(field) {
  const common = { no: field.number, name: field.name, ...(field.oneof ? { oneof: field.oneof.localName } : {}) };
  const list = field.fieldKind === "list" ? { repeat: field.packed ? 1 : 2 } : {};
  const kind = field.listKind ?? field.mapKind ?? field.fieldKind;
  const value = { message: () => ({ kind, T: () => typeOf(field.message) }), enum: () => ({ kind, T: () => enumOf(field.enum) }),
    scalar: () => ({ kind, T: field.scalar }) }[kind]();
  if (field.fieldKind === "map") return { ...common, kind: "map", K: field.mapKey ?? ScalarType.STRING, V: value };
  return { ...common, ...list, ...value };
}

const enumOf = (type) => [type.typeName, Object.fromEntries(type.values.flatMap(({ localName, number }) => [[number, localName], [localName, number]]))];

/** What `protoc --ts_out` writes for a method. */
export function protobufTsMethod(method) {
  const info = {
    name: method.name,
    I: typeOf(method.input),
    O: typeOf(method.output),
    ...(method.methodKind === "server_streaming" ? { serverStreaming: true } : {}),
  };
  return new ServiceType(method.parent.typeName, [info]).methods[0];
}
