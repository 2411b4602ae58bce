"""What a city needs before anybody can sign in: accounts, and for a demonstration a case."""

from passerby.service.accounts import generate_password
from passerby.service.cases import LONGEST_DAYS
from passerby.service.database import now
from passerby.service.http import Service

OPERATOR, SUPERVISOR = "operator", "supervisor"
DEMO_CASE = "DEMO-"  # and a number


def create_first_accounts(service: Service) -> dict[str, str]:
    """Create an operator and a supervisor of the whole city where there is no account yet.

    Returns:
        Name -> generated password, to be shown once; empty where there are accounts.
    """
    if service.accounts.all():
        return {}
    return {name: _create(service, name) for name in (OPERATOR, SUPERVISOR)}


def open_demo(service: Service) -> dict[str, str]:
    """Give the demonstration's two accounts new passwords, and the operator an open case.

    Only for simulated people: whoever can start the demonstration can sign in.
    """
    passwords = {}
    for name in (OPERATOR, SUPERVISOR):
        if service.accounts.get(name) is None:
            passwords[name] = _create(service, name)
        else:
            passwords[name] = service.accounts.set_password(name, generate_password())
    known = [case for case in service.cases.all() if case.id.startswith(DEMO_CASE)]
    if not any(case.is_open for case in known):
        number = f"{DEMO_CASE}{len(known) + 1}"
        grants = _roots(service)
        service.cases.open(
            number,
            purpose="Demonstration · 演示",
            legal_basis="None needed: the people do not exist · 人物均为虚构",
            owner=OPERATOR,
            units=grants,
            expires=now() + (LONGEST_DAYS - 1) * 86_400_000,
        )
        service.audit.append("case_opened", account=OPERATOR, case=number, units=grants)
    return passwords


def _create(service: Service, name: str) -> str:
    grants = _roots(service)
    password = service.accounts.create(name, name, grants)
    details = {"name": name, "role": name}
    service.audit.append("account_created", account="(first start)", units=grants, details=details)
    return password


def _roots(service: Service) -> tuple[str, ...]:
    return tuple(unit.code for unit in service.city.units.roots)
