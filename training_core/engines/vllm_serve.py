"""``python -m training_core.engines.vllm_serve MODEL [...]``: vLLM's own server, set up to take new weights while it runs.

Takes the arguments of ``vllm serve``. A run starts its servers this way; so does a person for servers named in ``engine.urls``.
The server replaces its weights at the word of anyone who reaches it: let it listen on a unix socket, the loopback address, or a
network of its own.
"""

import json
import os
import sys

from training_core.engines.descent import die_with_parent

ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
"""No statistics sent; errors only; the worker in the process of its engine; threads where the system puts them."""

ALWAYS = (
    "--enable-scale-out",  # the endpoint that takes and gives token ids
    f"--weight-transfer-config={json.dumps({'backend': 'kumite_files'})}",
    "--worker-extension-cls=training_core.engines.vllm_transfer.Worker",
    "--logprobs-mode=processed_logprobs",
    "--generation-config=vllm",
)


def main() -> None:
    """Run the server until it is told to end."""
    for name, value in {**ENVIRONMENT, "VLLM_SERVER_DEV_MODE": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}.items():
        os.environ.setdefault(name, value)
    # Only now: vLLM reads the environment when it is imported.
    from vllm.entrypoints.cli.serve import ServeSubcommand
    from vllm.entrypoints.serve.utils.api_utils import cli_env_setup
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    cli_env_setup()
    parser = FlexibleArgumentParser(prog="vllm_serve")
    command = ServeSubcommand()
    command.subparser_init(parser.add_subparsers(dest="subparser"))
    arguments = parser.parse_args(["serve", *sys.argv[1:], *ALWAYS])
    command.validate(arguments)
    command.cmd(arguments)


die_with_parent()  # when imported, because the processes a server starts begin with this import
if __name__ == "__main__":
    main()
