import time


def handler(event, context):
    if "waitMs" in event:
        time.sleep(event["waitMs"] / 1000)
    return {"answer": f"{event['n'] * 7}/{len(event['pad'])}"}
