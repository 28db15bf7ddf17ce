-- The logs of llm as its version 0.36 writes them (made with llm itself and a model of ours); its search tables are left out.
CREATE TABLE "conversations" (
  "id" TEXT PRIMARY KEY,
  "name" TEXT,
  "model" TEXT
);
CREATE TABLE "attachments" (
  "id" TEXT PRIMARY KEY,
  "type" TEXT,
  "path" TEXT,
  "url" TEXT,
  "content" BLOB
);
CREATE TABLE "prompt_attachments" (
  "response_id" TEXT REFERENCES "responses"("id"),
  "attachment_id" TEXT REFERENCES "attachments"("id"),
  "order" INTEGER,
  PRIMARY KEY ("response_id", "attachment_id")
);
CREATE TABLE "responses" (
  "id" TEXT PRIMARY KEY,
  "model" TEXT,
  "prompt" TEXT,
  "system" TEXT,
  "prompt_json" TEXT,
  "options_json" TEXT,
  "response" TEXT,
  "response_json" TEXT,
  "conversation_id" TEXT REFERENCES "conversations"("id"),
  "duration_ms" INTEGER,
  "datetime_utc" TEXT,
  "input_tokens" INTEGER,
  "output_tokens" INTEGER,
  "token_details" TEXT,
  "schema_id" TEXT REFERENCES "schemas"("id")
, "resolved_model" TEXT, "reasoning" TEXT);
CREATE TABLE "fragments" (
  "id" INTEGER PRIMARY KEY,
  "hash" TEXT,
  "content" TEXT,
  "datetime_utc" TEXT,
  "source" TEXT
);
CREATE TABLE "prompt_fragments" (
  "response_id" TEXT REFERENCES "responses"("id"),
  "fragment_id" INTEGER REFERENCES "fragments"("id"),
  "order" INTEGER,
  PRIMARY KEY ("response_id", "fragment_id", "order")
);
CREATE TABLE "system_fragments" (
  "response_id" TEXT REFERENCES "responses"("id"),
  "fragment_id" INTEGER REFERENCES "fragments"("id"),
  "order" INTEGER,
  PRIMARY KEY ("response_id", "fragment_id", "order")
);
CREATE TABLE "tools" (
  "id" INTEGER PRIMARY KEY,
  "hash" TEXT,
  "name" TEXT,
  "description" TEXT,
  "input_schema" TEXT
, "plugin" TEXT);
CREATE TABLE "tool_calls" (
  "id" INTEGER PRIMARY KEY,
  "response_id" TEXT REFERENCES "responses"("id"),
  "tool_id" INTEGER REFERENCES "tools"("id"),
  "name" TEXT,
  "arguments" TEXT,
  "tool_call_id" TEXT
);
CREATE TABLE "tool_results" (
  "id" INTEGER PRIMARY KEY,
  "response_id" TEXT REFERENCES "responses"("id"),
  "tool_id" INTEGER REFERENCES "tools"("id"),
  "name" TEXT,
  "output" TEXT,
  "tool_call_id" TEXT,
  "instance_id" INTEGER REFERENCES "tool_instances"("id")
, "exception" TEXT);
CREATE TABLE "messages" (
  "hash" TEXT PRIMARY KEY,
  "parent_hash" TEXT REFERENCES "messages"("hash"),
  "role" TEXT,
  "provider_metadata" TEXT
);
CREATE TABLE "parts" (
  "id" INTEGER PRIMARY KEY,
  "message_hash" TEXT REFERENCES "messages"("hash"),
  "position" INTEGER,
  "type" TEXT,
  "tool_name" TEXT,
  "text" TEXT,
  "payload" TEXT
);
CREATE TABLE "part_attachments" (
  "part_id" INTEGER REFERENCES "parts"("id"),
  "attachment_id" TEXT REFERENCES "attachments"("id"),
  "order" INTEGER,
  PRIMARY KEY ("part_id", "attachment_id", "order")
);
CREATE TABLE "part_fragments" (
  "part_id" INTEGER REFERENCES "parts"("id"),
  "fragment_id" INTEGER REFERENCES "fragments"("id"),
  "order" INTEGER,
  PRIMARY KEY ("part_id", "fragment_id", "order")
);
CREATE TABLE "threads" (
  "id" TEXT PRIMARY KEY,
  "name" TEXT,
  "tip_message_hash" TEXT REFERENCES "messages"("hash"),
  "forked_from" TEXT REFERENCES "threads"("id"),
  "datetime_utc" TEXT
);
CREATE TABLE "turns" (
  "id" TEXT PRIMARY KEY,
  "thread_id" TEXT REFERENCES "threads"("id"),
  "parent_message_hash" TEXT REFERENCES "messages"("hash"),
  "tip_message_hash" TEXT REFERENCES "messages"("hash"),
  "model" TEXT,
  "resolved_model" TEXT,
  "options_json" TEXT,
  "schema_id" TEXT REFERENCES "schemas"("id"),
  "input_tokens" INTEGER,
  "output_tokens" INTEGER,
  "token_details" TEXT,
  "duration_ms" INTEGER,
  "datetime_utc" TEXT
, "response_json" TEXT);
INSERT INTO attachments VALUES ('7343d363d427f598455ae5f102d2f7e8c95efa14a6f454b8acc352c9458cac11', 'image/png', NULL, NULL, X'89504e470d0a1a0a30303030');
INSERT INTO conversations VALUES ('01m7xprftgyaehtd0cncfkpd83', 'My name is Alice.', 'echo-1');
INSERT INTO conversations VALUES ('01m7xprftk5s4wrv37ez6461kv', 'What is 2 + 3?', 'echo-1');
INSERT INTO conversations VALUES ('01m7xprftv2qpd1amj9h9nfqtc', 'Fragment text. What is in it?', 'echo-1');
INSERT INTO fragments VALUES (1, '6685a862b3875a894faf7576ef16d9889dcad8f5d15d7027a586c84985703fd0', 'Fragment text.', '2026-11-21 00:05:37', NULL);
INSERT INTO messages VALUES ('b2:074dea0bd0259e0d5dca16426a45e4f5', NULL, 'system', NULL);
INSERT INTO messages VALUES ('b2:b912dae8016017b7e4b5bc133c07fcd6', 'b2:074dea0bd0259e0d5dca16426a45e4f5', 'user', NULL);
INSERT INTO messages VALUES ('b2:d4ab35c18728feed2bf7e093c1aa4eb7', 'b2:b912dae8016017b7e4b5bc133c07fcd6', 'assistant', NULL);
INSERT INTO messages VALUES ('b2:7a4379dfbdd4e06f41954eee02418898', 'b2:d4ab35c18728feed2bf7e093c1aa4eb7', 'user', NULL);
INSERT INTO messages VALUES ('b2:c26a0b398a81a0d4fd794d0deae8c7c0', 'b2:7a4379dfbdd4e06f41954eee02418898', 'assistant', NULL);
INSERT INTO messages VALUES ('b2:97710839573145f13e853ff9c21b0f41', 'b2:c26a0b398a81a0d4fd794d0deae8c7c0', 'user', NULL);
INSERT INTO messages VALUES ('b2:a4b21315cf7745c2de62f081a56a3830', 'b2:97710839573145f13e853ff9c21b0f41', 'assistant', NULL);
INSERT INTO parts VALUES (1, 'b2:074dea0bd0259e0d5dca16426a45e4f5', 0, 'text', NULL, 'Be brief.', NULL);
INSERT INTO parts VALUES (2, 'b2:b912dae8016017b7e4b5bc133c07fcd6', 0, 'text', NULL, 'My name is Alice.', NULL);
INSERT INTO parts VALUES (3, 'b2:d4ab35c18728feed2bf7e093c1aa4eb7', 0, 'text', NULL, 'You said: My name is Alice.', NULL);
INSERT INTO parts VALUES (4, 'b2:7a4379dfbdd4e06f41954eee02418898', 0, 'text', NULL, 'What is my name?', NULL);
INSERT INTO parts VALUES (5, 'b2:c26a0b398a81a0d4fd794d0deae8c7c0', 0, 'text', NULL, 'You said: What is my name?', NULL);
INSERT INTO parts VALUES (6, 'b2:97710839573145f13e853ff9c21b0f41', 0, 'text', NULL, 'And now?', NULL);
INSERT INTO parts VALUES (7, 'b2:a4b21315cf7745c2de62f081a56a3830', 0, 'text', NULL, 'You said: And now?', NULL);
INSERT INTO prompt_attachments VALUES ('01m7xprftv2qpd1amj9h9nfqtd', '7343d363d427f598455ae5f102d2f7e8c95efa14a6f454b8acc352c9458cac11', 0);
INSERT INTO prompt_fragments VALUES ('01m7xprftv2qpd1amj9h9nfqtd', 1, 0);
INSERT INTO responses VALUES ('01m7xprftgyaehtd0cncfkpd84', 'echo-1', 'My name is Alice.', 'Be brief.', NULL, '{}', 'You said: My name is Alice.', NULL, '01m7xprftgyaehtd0cncfkpd83', 0, '2026-11-21T00:05:37.744513+00:00', 20, 6, '{"cached": 8}', NULL, NULL, NULL);
INSERT INTO responses VALUES ('01m7xprftjetrnp4wwbx0txady', 'echo-1', 'What is my name?', NULL, NULL, '{}', 'You said: What is my name?', NULL, '01m7xprftgyaehtd0cncfkpd83', 0, '2026-11-21T00:05:37.746354+00:00', 20, 6, '{"cached": 8}', NULL, NULL, NULL);
INSERT INTO responses VALUES ('01m7xprftmv6xx672vj71y750a', 'echo-1', 'What is 2 + 3?', NULL, NULL, '{}', '', NULL, '01m7xprftk5s4wrv37ez6461kv', 0, '2026-11-21T00:05:37.748784+00:00', 12, 4, NULL, NULL, NULL, NULL);
INSERT INTO responses VALUES ('01m7xprftmv6xx672vj71y750b', 'echo-1', '', NULL, NULL, '{}', 'The sum is 5.', NULL, '01m7xprftk5s4wrv37ez6461kv', 0, '2026-11-21T00:05:37.748826+00:00', 20, 6, '{"cached": 8}', NULL, NULL, NULL);
INSERT INTO responses VALUES ('01m7xprftv2qpd1amj9h9nfqtd', 'echo-1', 'What is in it?', NULL, NULL, '{}', 'You said: Fragment text.
What is in it?', NULL, '01m7xprftv2qpd1amj9h9nfqtc', 0, '2026-11-21T00:05:37.755265+00:00', 20, 6, '{"cached": 8}', NULL, NULL, NULL);
INSERT INTO threads VALUES ('01m7xprftgyaehtd0cncfkpd83', 'And now?', 'b2:a4b21315cf7745c2de62f081a56a3830', NULL, '2026-11-21 00:26:10.790895+00:00');
INSERT INTO tool_calls VALUES (1, '01m7xprftmv6xx672vj71y750a', 1, 'add', '{"a": 2, "b": 3}', 'call_1');
INSERT INTO tool_results VALUES (1, '01m7xprftmv6xx672vj71y750b', 1, 'add', '5', 'call_1', NULL, NULL);
INSERT INTO tools VALUES (1, '92fbdd8b1ee7af945836911504bdff5b72f9e876da44b87af8e1afa8b88c0e82', 'add', 'Add two numbers.', '{"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"], "type": "object"}', NULL);
INSERT INTO turns VALUES ('01m7xqy3z6p67vf3tsg4rwsvm8', '01m7xprftgyaehtd0cncfkpd83', 'b2:97710839573145f13e853ff9c21b0f41', 'b2:a4b21315cf7745c2de62f081a56a3830', 'echo-1', NULL, NULL, NULL, 20, 6, '{"cached": 8}', 0, '2026-11-21T00:26:10.790331+00:00', NULL);
