"""A synthetic factory: four products with defects and exact masks in MVTec AD layout, and a kit in LOCO's."""

from understudy.lab.factory.write import FactoryPlan, LogicalPlan, write_factory, write_logical

__all__ = ["FactoryPlan", "LogicalPlan", "write_factory", "write_logical"]
