"""Makes the calls that come in as lines of JSON with botocore, as Debian's aws
CLI carries it, and writes what came of them; see process.go."""

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import awscli  # has a botocore of its own, and puts it where it is found first
from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

SERVICES = {"meetings": "chime-sdk-meetings", "pipelines": "chime-sdk-media-pipelines", "ivs": "ivs"}

session = Session()
made = {}
making = threading.Lock()
writing = threading.Lock()


def client_for(call):
    names = ("Service", "Endpoint", "Region", "AccessKeyID", "Secret", "SessionToken")
    key = tuple(call[name] for name in names)
    with making:
        if not call["Fresh"] and key in made:
            return made[key]
        client = session.create_client(
            SERVICES[call["Service"]],
            region_name=call["Region"],
            endpoint_url=call["Endpoint"],
            aws_access_key_id=call["AccessKeyID"],
            aws_secret_access_key=call["Secret"],
            aws_session_token=call["SessionToken"] or None,
        )
        if not call["Fresh"]:
            made[key] = client
        return client


def success(answer):
    metadata = answer.pop("ResponseMetadata")
    return {"Output": answer, "Status": metadata["HTTPStatusCode"], "RequestID": metadata.get("RequestId", "")}


def pages(client, name, call):
    """The answers to all calls that a list takes, by the paginator if there is one."""
    if client.can_paginate(name):
        yield from client.get_paginator(name).paginate(PaginationConfig={"PageSize": call["PageSize"]}, **call["Input"])
        return
    lower = call["Service"] == "ivs"
    size, token = ("maxResults", "nextToken") if lower else ("MaxResults", "NextToken")
    asked = {size: call["PageSize"], **call["Input"]}
    while True:
        answer = getattr(client, name)(**asked)
        yield answer
        if token not in answer:
            return
        asked[token] = answer[token]


def make(call):
    client = client_for(call)
    if call["Operation"] not in client.meta.service_model.operation_names:
        return {"Unknown": True}
    name = xform_name(call["Operation"])
    try:
        if not call["PageSize"]:
            return success(getattr(client, name)(**call["Input"]))
        answers = [success(page) for page in pages(client, name, call)]
        return {**answers[-1], "Output": None, "Pages": [answer["Output"] for answer in answers]}
    except ClientError as err:
        about, metadata = err.response["Error"], err.response["ResponseMetadata"]
        return {
            "Status": metadata["HTTPStatusCode"],
            "RequestID": metadata.get("RequestId", ""),
            "Error": {
                "Type": about["Code"],
                "Modelled": type(err).__name__ == about["Code"],
                "Message": about["Message"],
                "Text": about["Message"],
            },
        }
    except BotoCoreError as err:
        return {"Trouble": repr(err)}


def plain(value):
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value))


def answer(line):
    call = json.loads(line)
    try:
        result = make(call)
    except Exception as err:  # the tests must hear of it
        result = {"Trouble": repr(err)}
    text = json.dumps({"Call": call["Call"], **result}, default=plain)
    with writing:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


with ThreadPoolExecutor(8) as workers:
    for line in sys.stdin:
        workers.submit(answer, line)
