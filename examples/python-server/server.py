"""A server in Python, with nothing but the standard library: it rolls dice.

It speaks revision 2025-11-25 over standard input and output: one JSON object to a
line. The official package (pip install mcp) does the same with less of your code.
"""

import json
import random
import sys

TOOL = {
    "name": "roll",
    "title": "Roll dice",
    "description": "Rolls dice and tells what they show.",
    "inputSchema": {
        "type": "object",
        "properties": {
            "dice": {"type": "integer", "minimum": 1, "maximum": 100, "default": 1},
            "sides": {"type": "integer", "minimum": 2, "maximum": 1000, "default": 6},
        },
        "additionalProperties": False,
    },
    "outputSchema": {
        "type": "object",
        "properties": {"rolls": {"type": "array", "items": {"type": "integer"}}, "sum": {"type": "integer"}},
        "required": ["rolls", "sum"],
    },
    "annotations": {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": False, "openWorldHint": False},
}


class Refused(Exception):
    """What the caller is told: a JSON-RPC error code and why."""


def roll(arguments):
    unknown = set(arguments) - {"dice", "sides"}
    dice, sides = arguments.get("dice", 1), arguments.get("sides", 6)
    if unknown or not (type(dice) is int and 1 <= dice <= 100) or not (type(sides) is int and 2 <= sides <= 1000):
        text = "dice is a number from 1 to 100, sides one from 2 to 1000, and there is nothing else"
        return {"isError": True, "content": [{"type": "text", "text": text}]}
    rolls = [random.randint(1, sides) for _ in range(dice)]
    result = {"rolls": rolls, "sum": sum(rolls)}
    return {"structuredContent": result, "content": [{"type": "text", "text": json.dumps(result)}]}


def answer(method, params):
    if method == "initialize":
        return {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "dice", "title": "Dice", "version": "1.0.0"},
        }
    if method == "ping":
        return {}
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call" and params.get("name") == "roll":
        return roll(params.get("arguments") or {})
    if method == "tools/call":
        raise Refused(-32602, "there is no tool %r" % params.get("name"))
    raise Refused(-32601, "method not found: %s" % method)


def main():
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message or "method" not in message:
            continue  # a notification, or an answer to a question that was not asked
        reply = {"jsonrpc": "2.0", "id": message["id"]}
        try:
            reply["result"] = answer(message["method"], message.get("params") or {})
        except Refused as e:
            reply["error"] = {"code": e.args[0], "message": e.args[1]}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
