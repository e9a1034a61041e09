-- How a function's sandboxes start and what they reach, and how an invocation's sandbox was really started.
ALTER TABLE functions ADD COLUMN start text NOT NULL DEFAULT 'zygote';
ALTER TABLE functions ADD COLUMN network text NOT NULL DEFAULT 'none';
ALTER TABLE function_versions ADD COLUMN start text NOT NULL DEFAULT 'zygote';
ALTER TABLE function_versions ADD COLUMN network text NOT NULL DEFAULT 'none';
ALTER TABLE invocations ADD COLUMN start_mode text;
ALTER TABLE invocations ADD COLUMN start_reason text;
