-- Boards, their tasks, and what members say about them.

CREATE TABLE board (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title      text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE task (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    board          bigint NOT NULL CONSTRAINT task_board_fkey REFERENCES board ON DELETE CASCADE,
    title          text NOT NULL,
    description    text NOT NULL DEFAULT '',
    stage          text NOT NULL CONSTRAINT task_stage_check CHECK (stage IN ('todo', 'doing', 'done')),
    position       double precision NOT NULL,
    assignee       text,
    created_by     text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    version        bigint NOT NULL DEFAULT 1,
    comments_count bigint NOT NULL DEFAULT 0
);

-- The order in which a board shows its tasks.
CREATE INDEX task_board_order ON task (board, stage, position, id);

CREATE TABLE comment (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task        bigint NOT NULL CONSTRAINT comment_task_fkey REFERENCES task ON DELETE CASCADE,
    text        text NOT NULL,
    author      text NOT NULL,
    author_name text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX comment_task_order ON comment (task, id);
