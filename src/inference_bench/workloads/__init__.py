"""What to ask: prompts, scenarios and prompt files, and the prefix that makes each request unlike any other.

When to ask lives in `inference_bench.testing`, how to ask in `inference_bench.api`. The public face, by module:

    items       WorkItem, Workload: one piece of work, and a source of work that a plan draws from
    build       build_workload: settings and a seed make a Workload, deterministic in (seed, index)
    prefix      new_nonce, unique_prefix, with_prefix: the unique start of each request, equal for every service
    builtin     categories, category_names: the packaged prompts by category
    scenarios   scenarios, find_scenario, Scenario, Turn: five personas, four prompts and a four-turn script each
    canned      canned_prompts, choose_prompt: five ready questions; DEFAULT_TEST_PROMPT: the quick test's greeting
    estimate    estimate_tokens: a rough token count for plans and dry runs, never for results
    sessions    Session, SessionWorkload: conversations of several turns, what their users say
    traces      read_trace, TraceWorkload: recorded traffic, its times and the work of the same lengths
    tokens      TokenCounter: who counts tokens; a local tokenizer file does, servers do in `api.tokenize`

Behind `build_workload` stand: `prompt_file`, `csv_file` and `sharegpt` (files of the user's own, read through `opened`
and `record_file`), `synthetic` (texts by `composing`, lengths by `lengths`, held against a counter by `exactness`),
`session_sources`, and the formats of traces in `trace_text` and `trace_runs`. Import from the modules: this package
file imports nothing, so that `--help` stays quick.
"""
