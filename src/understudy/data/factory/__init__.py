"""A synthetic factory: four products with defects and exact masks in MVTec AD layout, and a kit in LOCO's."""

from understudy.data.factory.logical import LogicalPlan, write_logical
from understudy.data.factory.write import FactoryPlan, write_factory

__all__ = ["FactoryPlan", "LogicalPlan", "write_factory", "write_logical"]
