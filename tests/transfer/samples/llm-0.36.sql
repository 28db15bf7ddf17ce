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
INSERT INTO fragments VALUES (1, '6685a862b3875a894faf7576ef16d9889dcad8f5d15d7027a586c84985703fd0', 'Fragment text.', '2026-11-21 00:05:38', NULL);
INSERT INTO messages VALUES ('b2:074dea0bd0259e0d5dca16426a45e4f5', NULL, 'system', NULL);
INSERT INTO messages VALUES ('b2:b912dae8016017b7e4b5bc133c07fcd6', 'b2:074dea0bd0259e0d5dca16426a45e4f5', 'user', NULL);
INSERT INTO messages VALUES ('b2:d4ab35c18728feed2bf7e093c1aa4eb7', 'b2:b912dae8016017b7e4b5bc133c07fcd6', 'assistant', NULL);
INSERT INTO messages VALUES ('b2:7a4379dfbdd4e06f41954eee02418898', 'b2:d4ab35c18728feed2bf7e093c1aa4eb7', 'user', NULL);
INSERT INTO messages VALUES ('b2:c26a0b398a81a0d4fd794d0deae8c7c0', 'b2:7a4379dfbdd4e06f41954eee02418898', 'assistant', NULL);
INSERT INTO messages VALUES ('b2:b95d8bcc07759ee3b2b0b0ccd8fc6947', NULL, 'user', NULL);
INSERT INTO messages VALUES ('b2:8c56f9c4a1c8ecaa6cbcdb39573ece4c', 'b2:b95d8bcc07759ee3b2b0b0ccd8fc6947', 'assistant', NULL);
INSERT INTO messages VALUES ('b2:b7dbf855490a45f6bc97a7735ee5b63e', 'b2:8c56f9c4a1c8ecaa6cbcdb39573ece4c', 'tool', NULL);
INSERT INTO messages VALUES ('b2:600b85713bd11240de1a986ec589cb01', 'b2:b7dbf855490a45f6bc97a7735ee5b63e', 'assistant', NULL);
INSERT INTO messages VALUES ('b2:e0a5b50a174703aa82610a357ee05a6a', NULL, 'user', NULL);
INSERT INTO messages VALUES ('b2:bf738ef440d54217344d82909a2614a1', 'b2:e0a5b50a174703aa82610a357ee05a6a', 'assistant', NULL);
INSERT INTO part_attachments VALUES (11, '7343d363d427f598455ae5f102d2f7e8c95efa14a6f454b8acc352c9458cac11', 0);
INSERT INTO part_fragments VALUES (10, 1, 0);
INSERT INTO parts VALUES (1, 'b2:074dea0bd0259e0d5dca16426a45e4f5', 0, 'text', NULL, 'Be brief.', NULL);
INSERT INTO parts VALUES (2, 'b2:b912dae8016017b7e4b5bc133c07fcd6', 0, 'text', NULL, 'My name is Alice.', NULL);
INSERT INTO parts VALUES (3, 'b2:d4ab35c18728feed2bf7e093c1aa4eb7', 0, 'text', NULL, 'You said: My name is Alice.', NULL);
INSERT INTO parts VALUES (4, 'b2:7a4379dfbdd4e06f41954eee02418898', 0, 'text', NULL, 'What is my name?', NULL);
INSERT INTO parts VALUES (5, 'b2:c26a0b398a81a0d4fd794d0deae8c7c0', 0, 'text', NULL, 'You said: What is my name?', NULL);
INSERT INTO parts VALUES (6, 'b2:b95d8bcc07759ee3b2b0b0ccd8fc6947', 0, 'text', NULL, 'What is 2 + 3?', NULL);
INSERT INTO parts VALUES (7, 'b2:8c56f9c4a1c8ecaa6cbcdb39573ece4c', 0, 'tool_call', 'add', NULL, '{"name": "add", "arguments": {"a": 2, "b": 3}, "tool_call_id": "call_1"}');
INSERT INTO parts VALUES (8, 'b2:b7dbf855490a45f6bc97a7735ee5b63e', 0, 'tool_result', 'add', NULL, '{"name": "add", "output": "5", "tool_call_id": "call_1"}');
INSERT INTO parts VALUES (9, 'b2:600b85713bd11240de1a986ec589cb01', 0, 'text', NULL, 'The sum is 5.', NULL);
INSERT INTO parts VALUES (10, 'b2:e0a5b50a174703aa82610a357ee05a6a', 0, 'text', NULL, NULL, '{"text_ref": [{"fragment": 1}, {"literal": "\nWhat is in it?"}]}');
INSERT INTO parts VALUES (11, 'b2:e0a5b50a174703aa82610a357ee05a6a', 1, 'attachment', NULL, NULL, '{"attachment": {"id": "7343d363d427f598455ae5f102d2f7e8c95efa14a6f454b8acc352c9458cac11"}}');
INSERT INTO parts VALUES (12, 'b2:bf738ef440d54217344d82909a2614a1', 0, 'text', NULL, 'You said: Fragment text.
What is in it?', NULL);
INSERT INTO threads VALUES ('01m7xprgke5fdbzgq1macmjaex', 'My name is Alice.', 'b2:c26a0b398a81a0d4fd794d0deae8c7c0', NULL, '2026-11-21 00:05:38.544316+00:00');
INSERT INTO threads VALUES ('01m7xprgkv98869p1nk8jachs4', 'What is 2 + 3?', 'b2:600b85713bd11240de1a986ec589cb01', NULL, '2026-11-21 00:05:38.557353+00:00');
INSERT INTO threads VALUES ('01m7xprgm8qg4x9803s5xpj4fz', 'Fragment text. What is in it?', 'b2:bf738ef440d54217344d82909a2614a1', NULL, '2026-11-21 00:05:38.569091+00:00');
INSERT INTO tools VALUES (1, '92fbdd8b1ee7af945836911504bdff5b72f9e876da44b87af8e1afa8b88c0e82', 'add', 'Add two numbers.', '{"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"], "type": "object"}', NULL);
INSERT INTO turns VALUES ('01m7xprgke5fdbzgq1macmjaey', '01m7xprgke5fdbzgq1macmjaex', 'b2:b912dae8016017b7e4b5bc133c07fcd6', 'b2:d4ab35c18728feed2bf7e093c1aa4eb7', 'echo-1', NULL, NULL, NULL, 20, 6, '{"cached": 8}', 0, '2026-11-21T00:05:38.542449+00:00', NULL);
INSERT INTO turns VALUES ('01m7xprgksj8fjm36jzr57afq2', '01m7xprgke5fdbzgq1macmjaex', 'b2:7a4379dfbdd4e06f41954eee02418898', 'b2:c26a0b398a81a0d4fd794d0deae8c7c0', 'echo-1', NULL, NULL, NULL, 20, 6, '{"cached": 8}', 0, '2026-11-21T00:05:38.553203+00:00', NULL);
INSERT INTO turns VALUES ('01m7xprgkwp9f15vsrba9dwjaa', '01m7xprgkv98869p1nk8jachs4', 'b2:b95d8bcc07759ee3b2b0b0ccd8fc6947', 'b2:8c56f9c4a1c8ecaa6cbcdb39573ece4c', 'echo-1', NULL, NULL, NULL, 12, 4, NULL, 0, '2026-11-21T00:05:38.557021+00:00', NULL);
INSERT INTO turns VALUES ('01m7xprgkxkf2fw1m5pq3qd29n', '01m7xprgkv98869p1nk8jachs4', 'b2:b7dbf855490a45f6bc97a7735ee5b63e', 'b2:600b85713bd11240de1a986ec589cb01', 'echo-1', NULL, NULL, NULL, 20, 6, '{"cached": 8}', 0, '2026-11-21T00:05:38.557146+00:00', NULL);
INSERT INTO turns VALUES ('01m7xprgm8qg4x9803s5xpj4g0', '01m7xprgm8qg4x9803s5xpj4fz', 'b2:e0a5b50a174703aa82610a357ee05a6a', 'b2:bf738ef440d54217344d82909a2614a1', 'echo-1', NULL, NULL, NULL, 20, 6, '{"cached": 8}', 0, '2026-11-21T00:05:38.568865+00:00', NULL);
